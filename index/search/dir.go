package search

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// A Dir is the directory that holds the snapshots of all libraries: files that are
// written once, and a manifest, replaced as a whole, which says what counts.
//
//	MANIFEST              "arrwdb search 1 <CRC-32C of what follows, 8 hex digits>\n", then a Manifest as JSON
//	<file, 16 hex>.seg    a segment
//	<file, 16 hex>.vec    a full extent of vectors' codes; see index/flat
//
// What the manifest does not name is garbage of a checkpoint that was cut off.
type Dir struct {
	fs   vfs.FS
	path string
	mmap bool

	mu    sync.Mutex // guards what follows
	next  uint64
	names map[string]bool // of files that are there
}

const (
	manifestName   = "MANIFEST"
	manifestHeader = "arrwdb search 1 "
)

// A Manifest says what the snapshots of a checkpoint are made of.
type Manifest struct {
	Seq       uint64  `json:"seq"`
	Commit    uint64  `json:"commit"`
	NextFile  uint64  `json:"next_file"`
	Libraries []Entry `json:"libraries"`
}

// Stamp says which prefix of the log is in the snapshots.
func (m *Manifest) Stamp() change.Stamp { return change.Stamp{Seq: m.Seq, Commit: m.Commit} }

// An Entry is the snapshot of one library.
type Entry struct {
	Num      uint32   `json:"num"`
	Metric   string   `json:"metric"`
	Language string   `json:"language"`
	Parts    []string `json:"parts"`
	Extents  []string `json:"extents"`
	Slots    uint32   `json:"slots"`
	Dead     []byte   `json:"dead"` // a bit a slot
	Dim      int      `json:"dim"`
	// Building says that there was nothing to be saved: the structures were being
	// built, and are to be built anew.
	Building bool `json:"building,omitempty"`
}

// OpenDir opens the directory, and makes it. With mmap, which is for the operating
// system's file system, snapshots are mapped where that can be. A manifest that is damaged is an
// error beside a Dir that can be used: the snapshots have to be made anew.
func OpenDir(fsys vfs.FS, path string, mmap bool) (*Dir, *Manifest, error) {
	d := &Dir{fs: fsys, path: path, mmap: mmap && canMap, names: map[string]bool{}}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return nil, nil, err
	}
	m, err := d.readManifest()
	if err == nil {
		for i := range m.Libraries {
			e := &m.Libraries[i]
			for _, name := range append(e.Parts, e.Extents...) {
				d.names[name] = true
			}
		}
		d.next = m.NextFile
	} else {
		m = &Manifest{}
		err = fmt.Errorf("%s: %w", fsys.PathJoin(path, manifestName), err)
	}
	return d, m, err
}

func (d *Dir) readManifest() (*Manifest, error) {
	b, err := readAll(d.fs, d.fs.PathJoin(d.path, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Manifest{}, nil
	}
	if err != nil {
		return nil, err
	}
	head, body, ok := strings.Cut(string(b), "\n")
	want, ok2 := strings.CutPrefix(head, manifestHeader)
	if !ok || !ok2 {
		return nil, errors.New("it does not begin as a manifest of this version")
	}
	if got := fmt.Sprintf("%08x", crc32.Checksum([]byte(body), castagnoli)); got != want {
		return nil, fmt.Errorf("its content has the CRC %s, it says %s", got, want)
	}
	m := new(Manifest)
	return m, json.Unmarshal([]byte(body), m)
}

// Clean removes what no manifest names, and notes the highest name that was ever used.
// It must be called once, before anything is written. What cannot be removed is in the
// error, and does no harm.
func (d *Dir) Clean() error {
	names, err := d.fs.List(d.path)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		var id uint64
		if n, _ := fmt.Sscanf(name, "%16x.", &id); n == 1 {
			d.next = max(d.next, id+1)
		}
		if name != manifestName && !d.names[name] {
			errs = append(errs, d.fs.Remove(d.fs.PathJoin(d.path, name)))
		}
	}
	return errors.Join(errs...)
}

// write makes a file and syncs it.
func (d *Dir) write(suffix string, b []byte) (name string, err error) {
	d.mu.Lock()
	name = fmt.Sprintf("%016x.%s", d.next, suffix)
	d.next++
	d.mu.Unlock()
	if err := d.writeFile(name, b); err != nil {
		return "", errors.Join(err, d.discard(name))
	}
	d.mu.Lock()
	d.names[name] = true
	d.mu.Unlock()
	return name, nil
}

// discard removes a file that nothing is to name.
func (d *Dir) discard(name string) error {
	d.mu.Lock()
	delete(d.names, name)
	d.mu.Unlock()
	if err := d.fs.Remove(d.fs.PathJoin(d.path, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Dir) writeFile(name string, b []byte) error {
	f, err := d.fs.Create(d.fs.PathJoin(d.path, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// A file system may scribble on what it is given, and these bytes are in use.
	scratch := make([]byte, min(len(b), 1<<20))
	for len(b) > 0 && err == nil {
		n := copy(scratch, b)
		_, err = f.Write(scratch[:n])
		b = b[n:]
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// Commit makes a manifest the one that counts, and removes what it does not name: what
// only the one before named, and what was written for one that never came to be.
func (d *Dir) Commit(m *Manifest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.NextFile = d.next
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := fmt.Appendf(nil, "%s%08x\n", manifestHeader, crc32.Checksum(body, castagnoli))
	tmp := manifestName + ".tmp"
	if err := d.writeFile(tmp, append(b, body...)); err != nil {
		return err
	}
	// The names of the files that it names come first.
	if err := d.sync(); err != nil {
		return err
	}
	if err := d.fs.Rename(d.fs.PathJoin(d.path, tmp), d.fs.PathJoin(d.path, manifestName)); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	before := d.names
	d.names = map[string]bool{}
	for i := range m.Libraries {
		for _, name := range append(m.Libraries[i].Parts, m.Libraries[i].Extents...) {
			d.names[name] = true
			delete(before, name)
		}
	}
	var errs []error
	for name := range before {
		if err := d.fs.Remove(d.fs.PathJoin(d.path, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *Dir) sync() error {
	dir, err := d.fs.OpenDir(d.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// read returns a file's bytes, mapped where that can be. Who keeps parts of them
// keeps owner alive, with which the mapping goes.
func (d *Dir) read(name string) (b []byte, mapped bool, err error) {
	path := d.fs.PathJoin(d.path, name)
	if d.mmap {
		if st, err := d.fs.Stat(path); err != nil {
			return nil, false, err
		} else if st.Size() >= minMapped {
			if b, err = mapFile(path); err == nil {
				return b, true, nil
			}
		}
	}
	b, err = readAll(d.fs, path)
	return b, false, err
}

// minMapped is how large a file is at least that is mapped: a process may have some
// 65,000 mappings, and there may be as many small libraries. Where no more are to be
// had, larger files are read as well.
const minMapped = 1 << 20

// unmapWith lets a mapping go when nobody has the segment any more.
func unmapWith(s *segment) {
	runtime.AddCleanup(s, func(b []byte) { _ = unmapFile(b) }, s.bytes)
}

func readAll(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
