package rows_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
)

var seedFlag = flag.Uint64("seed", 0, "run the model test with this seed only")

const dir = "rows"

// world is the plain picture of what the store must hold.
type world map[rows.Key]map[uint64][]byte

func (w world) clone() world {
	out := world{}
	for k, m := range w {
		out[k] = maps.Clone(m)
	}
	return out
}

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

// model drives a store and the picture side by side. Library numbers are never
// used again after a drop within one history, as in the engine.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	opts  rows.Options
	fs    *vfs.MemFS
	s     *rows.Store
	log   []op            // op i has stamp i+1
	next  map[uint32]uint64 // next number of a library
	live  []rows.Key
	lib   uint32
	state map[uint64]world // by stamp, for all stamps that may be durable
	now   world
	acked uint64
}

func (m *model) stamp() change.Stamp {
	return change.Stamp{Seq: uint64(len(m.log)), Commit: uint64(len(m.log))}
}

func (m *model) newKey() rows.Key {
	m.lib++
	dims := []uint32{1, 3, 4, 16, 60, 64}
	k := rows.Key{Library: m.lib % 7, Space: uint8(m.rng.IntN(3)), Generation: m.lib, Dim: dims[m.rng.IntN(len(dims))]}
	m.live = append(m.live, k)
	m.next[k.Generation] = uint64(m.rng.IntN(3)) * uint64(m.rng.IntN(1_000_000_000))
	return k
}

func (m *model) randomOp() op {
	if len(m.live) == 0 || len(m.live) < 6 && m.rng.IntN(6) == 0 {
		m.newKey()
	}
	if m.rng.IntN(25) == 0 {
		lib := m.live[m.rng.IntN(len(m.live))].Library
		m.live = slices.DeleteFunc(m.live, func(k rows.Key) bool { return k.Library == lib })
		return op{drop: true, lib: lib}
	}
	var o op
	for range 1 + m.rng.IntN(3) {
		k := m.live[m.rng.IntN(len(m.live))]
		n := &m.next[k.Generation][0]
		_ = n
	}
	return o
}
