package rows_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
)

var seedFlag = flag.Uint64("seed", 0, "run the model test with this seed only")

const dir = "rows"

// world is the plain picture of what the store must hold.
type world map[rows.Key]map[uint64][]byte

func (w world) drop(lib uint32) {
	maps.DeleteFunc(w, func(k rows.Key, _ map[uint64][]byte) bool { return k.Library == lib })
}

func rowBytes(rng *rand.Rand, dim uint32) []byte {
	b := make([]byte, 4*dim)
	for i := range dim {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(rng.NormFloat64())))
	}
	return b
}

func floatsOf(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// check compares a store with the picture, by every way of reading.
func check(s *rows.Store, w world) error {
	pin := s.Pin()
	defer pin.Unpin()
	seen := 0
	for lib := uint32(0); lib < 8; lib++ {
		for _, key := range pin.Spaces(lib) {
			if len(w[key]) == 0 {
				v, _ := pin.Space(key)
				if v.Len() != 0 {
					return fmt.Errorf("%v has %d rows, want none", key, v.Len())
				}
			}
		}
	}
	var total int64
	for key, want := range w {
		if len(want) == 0 {
			continue
		}
		seen++
		v, ok := pin.Space(key)
		if !ok {
			return fmt.Errorf("%v is not there", key)
		}
		if v.Len() != int64(len(want)) {
			return fmt.Errorf("%v has %d rows, want %d", key, v.Len(), len(want))
		}
		total += v.Len()
		nums := slices.Sorted(maps.Keys(want))
		all := make([]float32, len(nums)*int(key.Dim))
		if err := v.ReadMany(nums, all); err != nil {
			return err
		}
		one := make([]float32, key.Dim)
		for i, n := range nums {
			f := floatsOf(want[n])
			if !slices.Equal(all[i*int(key.Dim):(i+1)*int(key.Dim)], f) {
				return fmt.Errorf("%v: ReadMany of %d differs", key, n)
			}
			if err := v.ReadInto(n, one); err != nil || !slices.Equal(one, f) {
				return fmt.Errorf("%v: ReadInto(%d): %v", key, n, err)
			}
			if r, err := v.Row(n, nil); err != nil || !slices.Equal(r, f) {
				return fmt.Errorf("%v: Row(%d): %v", key, n, err)
			}
			if _, there := want[n+1]; v.Has(n+1) != there {
				return fmt.Errorf("%v: Has(%d) is %v", key, n+1, !there)
			}
		}
		var b rows.Block
		i := 0
		ok, err := v.Next(0, &b)
		for ; ok; ok, err = v.Next(b.Number+1, &b) {
			for j := range b.Len {
				if b.Has(j) {
					if n := b.First + uint64(j); i >= len(nums) || nums[i] != n || !slices.Equal(b.Row(j), floatsOf(want[n])) {
						return fmt.Errorf("%v: block %d, row %d differs", key, b.Number, n)
					}
					i++
				}
			}
		}
		if err != nil || i != len(nums) {
			return fmt.Errorf("%v: blocks gave %d rows of %d: %v", key, i, len(nums), err)
		}
	}
	rep, err := s.Verify(context.Background(), true)
	if err != nil {
		return err
	}
	if rep.Damaged != 0 {
		return fmt.Errorf("verify: %w", rep.Problems[0])
	}
	if rep.Rows != total {
		return fmt.Errorf("verify counted %d rows, want %d", rep.Rows, total)
	}
	return nil
}

// op is a change as the log would keep it: applying it again gives the same.
type op struct {
	drop bool
	lib  uint32
	runs []rows.Run
}

func (o op) applyTo(w world) {
	if o.drop {
		w.drop(o.lib)
		return
	}
	for _, r := range o.runs {
		if w[r.Key] == nil {
			w[r.Key] = map[uint64][]byte{}
		}
		row := 4 * int(r.Key.Dim)
		for i := 0; i*row < len(r.Raw); i++ {
			w[r.Key][r.Num+uint64(i)] = r.Raw[i*row : (i+1)*row]
		}
	}
}

func (o op) applyStore(s *rows.Store) error {
	if o.drop {
		return s.DropLibrary(o.lib)
	}
	return s.Append(o.runs...)
}

// worldAt is the picture after the first n ops.
func worldAt(log []op, n uint64) world {
	w := world{}
	for _, o := range log[:n] {
		o.applyTo(w)
	}
	return w
}

// crash is a file system as a crash may leave it, and what must be true then.
type crash struct {
	fs      *vfs.MemFS
	percent int
	acked   uint64 // stamp of the last checkpoint that was acknowledged
	tried   uint64 // stamp of the newest one that had begun
	applied uint64 // ops applied or being applied
	at      string
}

// model drives a store and the log of what was done to it.
type model struct {
	t    *testing.T
	rng  *rand.Rand
	opts rows.Options
	mem  *vfs.MemFS
	s    *rows.Store
	log  []op
	next map[rows.Key]uint64
	live []rows.Key
	gen  uint32

	acked, tried uint64
	crashes      []crash
	pinned       []*pinned
}

// pinned is a reader that holds on to what it saw.
type pinned struct {
	pin    *rows.Pin
	want   world
	spaces map[rows.Key]rows.Space
}

func (m *model) stamp() change.Stamp {
	return change.Stamp{Seq: uint64(len(m.log)), Commit: uint64(len(m.log))}
}

// MaybeError takes a picture of the disk before some of the operations on it.
func (m *model) MaybeError(o errorfs.Op) error {
	if o.Kind.ReadOrWrite() == errorfs.OpIsWrite && m.rng.IntN(4) == 0 {
		p := []int{0, 50, 100}[m.rng.IntN(3)]
		m.crashes = append(m.crashes, crash{m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p, RNG: m.rng}), p,
			m.acked, m.tried, uint64(len(m.log)), fmt.Sprintf("op %d: %v %s", len(m.log), o.Kind, o.Path)})
	}
	return nil
}

func (m *model) String() string { return "model" }

func (m *model) open() {
	m.opts.FS = errorfs.Wrap(m.mem, m)
	s, err := rows.Open(m.opts)
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
}

func (m *model) newKey() {
	m.gen++
	dims := []uint32{1, 3, 4, 16, 60, 64}
	k := rows.Key{Library: uint32(m.rng.IntN(6)), Space: uint8(m.rng.IntN(3)), Generation: m.gen, Dim: dims[m.rng.IntN(len(dims))]}
	m.live = append(m.live, k)
	m.next[k] = uint64(m.rng.IntN(3)) * uint64(m.rng.IntN(1_000_000_000))
}

// do makes up an op and applies it.
func (m *model) do() {
	if len(m.live) == 0 || len(m.live) < 6 && m.rng.IntN(6) == 0 {
		m.newKey()
	}
	var o op
	if m.rng.IntN(12) == 0 {
		o = op{drop: true, lib: m.live[m.rng.IntN(len(m.live))].Library}
		m.live = slices.DeleteFunc(m.live, func(k rows.Key) bool { return k.Library == o.lib })
	} else {
		for range 1 + m.rng.IntN(3) {
			o.runs = append(o.runs, m.run(m.live[m.rng.IntN(len(m.live))])...)
		}
	}
	m.log = append(m.log, o)
	if err := o.applyStore(m.s); err != nil {
		m.t.Fatal(err)
	}
}

// run makes up rows of one space: mostly dense, sometimes with a hole, sometimes
// out of order.
func (m *model) run(k rows.Key) []rows.Run {
	n := uint64(1 + m.rng.IntN(12))
	raw := bytes.Buffer{}
	for range n {
		raw.Write(rowBytes(m.rng, k.Dim))
	}
	r := rows.Run{Key: k, Num: m.next[k], Raw: raw.Bytes()}
	m.next[k] += n
	switch m.rng.IntN(8) {
	case 0:
		m.next[k] += uint64(m.rng.IntN(200))
	case 1:
		cut := m.rng.IntN(int(n)) * 4 * int(k.Dim)
		if cut > 0 {
			return []rows.Run{{Key: k, Num: r.Num + uint64(cut/4/int(k.Dim)), Raw: r.Raw[cut:]}, {Key: k, Num: r.Num, Raw: r.Raw[:cut]}}
		}
	}
	return []rows.Run{r}
}

func (m *model) checkpoint() {
	c, err := m.s.Cut(m.stamp())
	if err != nil {
		m.t.Fatal(err)
	}
	if m.rng.IntN(10) == 0 {
		c.Abort()
		return
	}
	m.tried = c.Stamp().Seq
	for range m.rng.IntN(3) { // the applier goes on
		m.do()
	}
	if err := c.Commit(); err != nil {
		m.t.Fatal(err)
	}
	m.acked = m.tried
}

func (m *model) pin() {
	p := &pinned{pin: m.s.Pin(), want: worldAt(m.log, uint64(len(m.log))), spaces: map[rows.Key]rows.Space{}}
	for k := range p.want {
		if len(p.want[k]) > 0 && m.rng.IntN(2) == 0 { // the others are looked up late
			p.spaces[k], _ = p.pin.Space(k)
		}
	}
	m.pinned = append(m.pinned, p)
}

func (m *model) unpin() {
	if len(m.pinned) == 0 {
		return
	}
	i := m.rng.IntN(len(m.pinned))
	p := m.pinned[i]
	m.pinned = slices.Delete(m.pinned, i, i+1)
	for k, want := range p.want {
		if len(want) == 0 {
			continue
		}
		v, ok := p.spaces[k]
		if !ok {
			if v, ok = p.pin.Space(k); !ok {
				m.t.Fatalf("%v was there when the pin was taken", k)
			}
		}
		for n, raw := range want {
			if r, err := v.Row(n, nil); err != nil || !slices.Equal(r, floatsOf(raw)) {
				m.t.Fatalf("%v, row %d under a pin: %v", k, n, err)
			}
		}
	}
	p.pin.Unpin()
}

func (m *model) reopen() {
	for len(m.pinned) > 0 {
		m.unpin()
	}
	if err := m.s.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
	if d := m.s.Durable().Seq; d != m.acked {
		m.t.Fatalf("%d is durable after a clean stop, want %d", d, m.acked)
	}
	m.replay(m.s, m.acked, uint64(len(m.log)))
}

func (m *model) replay(s *rows.Store, from, to uint64) {
	if err := check(s, worldAt(m.log, from)); err != nil {
		m.t.Fatalf("at the durable stamp %d: %v", from, err)
	}
	for _, o := range m.log[from:to] {
		if err := o.applyStore(s); err != nil {
			m.t.Fatalf("replay: %v", err)
		}
	}
	if err := check(s, worldAt(m.log, to)); err != nil {
		m.t.Fatalf("after replay to %d: %v", to, err)
	}
}

// crashHere goes on from what a crash leaves, with the garbage that it left.
func (m *model) crashHere() {
	for len(m.pinned) > 0 {
		m.unpin()
	}
	m.mem = m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[m.rng.IntN(3)], RNG: m.rng})
	m.open()
	if d := m.s.Durable().Seq; d != m.acked {
		m.t.Fatalf("%d is durable after a crash, want %d", d, m.acked)
	}
	m.replay(m.s, m.acked, uint64(len(m.log)))
	m.tried = m.acked
}

// survive opens what a crash left, replays, checkpoints, and opens again.
func (m *model) survive(c crash) {
	opts := m.opts
	opts.FS = c.fs
	fail := func(err error) { m.t.Fatalf("crash at %s, %d %% unsynced: %v", c.at, c.percent, err) }
	s, err := rows.Open(opts)
	if err != nil {
		fail(err)
	}
	d := s.Durable().Seq
	if d != c.acked && d != c.tried {
		fail(fmt.Errorf("%d is durable, want %d (acknowledged) or %d (under way)", d, c.acked, c.tried))
	}
	m.replay(s, d, c.applied)
	if err := s.Checkpoint(change.Stamp{Seq: c.applied, Commit: c.applied}); err != nil {
		fail(err)
	}
	opts.FS = c.fs.CrashClone(vfs.CrashCloneCfg{})
	if s, err = rows.Open(opts); err != nil {
		fail(err)
	}
	if s.Torn() != nil || s.Durable().Seq != c.applied {
		fail(fmt.Errorf("second crash: %v is durable, torn %v", s.Durable(), s.Torn()))
	}
	if err := check(s, worldAt(m.log, c.applied)); err != nil {
		fail(err)
	}
}

func runModel(t *testing.T, seed uint64) (crashes int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{t: t, rng: rng, mem: vfs.NewCrashableMem(), next: map[rows.Key]uint64{}}
	m.opts = rows.Options{Dir: dir, BlockSize: 256 << (2 * rng.IntN(2)), BlocksPerFile: 1 + rng.IntN(5), ManifestRewrite: 1 << (4 + rng.IntN(10))}
	m.open()
	for range 60 {
		switch m.rng.IntN(12) {
		case 0, 1:
			m.checkpoint()
		case 2:
			m.pin()
		case 3:
			m.unpin()
		case 4:
			if m.rng.IntN(4) == 0 {
				m.reopen()
			}
		case 5:
			if m.rng.IntN(3) == 0 {
				m.crashHere()
			}
		default:
			m.do()
		}
	}
	for len(m.pinned) > 0 {
		m.unpin()
	}
	m.checkpoint()
	if err := check(m.s, worldAt(m.log, uint64(len(m.log)))); err != nil {
		t.Fatal(err)
	}
	for _, c := range m.crashes {
		m.survive(c)
	}
	return len(m.crashes)
}

func TestModel(t *testing.T) {
	if *seedFlag != 0 {
		runModel(t, *seedFlag)
		return
	}
	n := 40
	if testing.Short() {
		n = 10
	}
	crashes := 0
	for i := range n {
		seed := uint64(i + 1)
		ok := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("again with: go test ./index/rows -run TestModel -seed %d", seed)
				}
			}()
			crashes += runModel(t, seed)
		})
		if !ok {
			return
		}
	}
	t.Logf("%d crashes survived", crashes)
	if !testing.Short() && crashes < 1000 {
		t.Errorf("only %d crash points", crashes)
	}
}
