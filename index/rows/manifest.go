package rows

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The manifest is a log of checkpoints. The bytes are drawn in DESIGN.md; the
// numbers here are frozen.
//
// History of the format:
//
//	1  the first
const (
	formatVersion   = 1 // what is written
	oldestReadable  = 1
	manifestMagic   = "arwROWSm"
	manifestHeader  = 64
	frameMagic      = 0x466d5261 // "aRmF"
	frameHeader     = 32
	currentName     = "CURRENT"
	tmpSuffix       = ".tmp"
	manifestPrefix  = "MANIFEST-"
	maxFramePayload = maxManifestBytes
)

// Kinds of frames.
const (
	frameSnapshot = 1 // the whole state; the first frame of a manifest, and only that
	frameDelta    = 2 // what a checkpoint changed
	frameMark     = 3 // "the frame before me has been synced"; without payload
)

// manifest is the open manifest of a store that writes.
type manifest struct {
	fs     vfs.FS
	dir    string
	number uint64
	id     uint64 // random; keys the frames, so that stale bytes are never valid
	file   vfs.File
	size   int64  // where the next frame goes
	record uint64 // number of the last snapshot or delta
	first  int64  // size after the first frame
}

func manifestName(n uint64) string { return fmt.Sprintf("%s%06d", manifestPrefix, n) }

func align8(n int64) int64 { return (n + 7) &^ 7 }

// encodeHeader draws the header:
//
//	 0 magic "arwROWSm"
//	 8 u32 format version   12 u32 block size   16 u32 blocks a file   20 u32 zero
//	24 u64 manifest number  32 u64 id           40 20 bytes zero
//	60 u32 CRC-32C of the 60 bytes before
func encodeHeader(version uint32, geo geometry, number, id uint64) []byte {
	h := make([]byte, manifestHeader)
	copy(h, manifestMagic)
	binary.LittleEndian.PutUint32(h[8:], version)
	binary.LittleEndian.PutUint32(h[12:], uint32(geo.blockSize))
	binary.LittleEndian.PutUint32(h[16:], uint32(geo.perFile))
	binary.LittleEndian.PutUint64(h[24:], number)
	binary.LittleEndian.PutUint64(h[32:], id)
	binary.LittleEndian.PutUint32(h[60:], crc32.Checksum(h[:60], castagnoli))
	return h
}

// encodeFrame draws a frame, 8-aligned:
//
//	 0 u32 magic "aRmF"
//	 4 u32 CRC-32C over the id of the manifest and bytes 8 to the end of the payload
//	 8 u64 record: the number of the checkpoint, by ones; of a mark: the one it marks
//	16 u64 offset of this frame in the file
//	24 u32 bytes of payload   28 u8 kind   29 3 bytes zero
//	32 payload, zeros up to a multiple of 8
func encodeFrame(id uint64, kind byte, record uint64, offset int64, payload []byte) []byte {
	f := make([]byte, align8(int64(frameHeader+len(payload))))
	binary.LittleEndian.PutUint32(f, frameMagic)
	binary.LittleEndian.PutUint64(f[8:], record)
	binary.LittleEndian.PutUint64(f[16:], uint64(offset))
	binary.LittleEndian.PutUint32(f[24:], uint32(len(payload)))
	f[28] = kind
	copy(f[frameHeader:], payload)
	binary.LittleEndian.PutUint32(f[4:], frameCRC(id, f[8:frameHeader+len(payload)]))
	return f
}

func frameCRC(id uint64, b []byte) uint32 {
	var k [8]byte
	binary.LittleEndian.PutUint64(k[:], id)
	return crc32.Update(crc32.Checksum(k[:], castagnoli), castagnoli, b)
}

type frame struct {
	kind    byte
	record  uint64
	payload []byte
	end     int64
}

// frameAt reads the frame at off; why says what is wrong where there is none.
func frameAt(data []byte, id uint64, off int64) (f frame, why string) {
	b := data[off:]
	if len(b) < frameHeader {
		return f, fmt.Sprintf("%d bytes, a frame has at least %d", len(b), frameHeader)
	}
	if m := binary.LittleEndian.Uint32(b); m != frameMagic {
		return f, fmt.Sprintf("magic %#x, want %#x", m, frameMagic)
	}
	n := int64(binary.LittleEndian.Uint32(b[24:]))
	if n > maxFramePayload || align8(frameHeader+n) > int64(len(b)) {
		return f, fmt.Sprintf("payload of %d bytes, %d are left", n, len(b)-frameHeader)
	}
	if got, want := frameCRC(id, b[8:frameHeader+n]), binary.LittleEndian.Uint32(b[4:]); got != want {
		return f, fmt.Sprintf("CRC-32C %#x, stored %#x", got, want)
	}
	if at := binary.LittleEndian.Uint64(b[16:]); at != uint64(off) {
		return f, fmt.Sprintf("the frame was written for offset %d", at)
	}
	f.end = off + align8(frameHeader+n)
	for _, z := range b[frameHeader+n : f.end-off] {
		if z != 0 {
			return f, "the padding is not zero"
		}
	}
	f.kind, f.record, f.payload = b[28], binary.LittleEndian.Uint64(b[8:]), b[frameHeader:frameHeader+n]
	return f, ""
}

// contents is what a manifest says.
type contents struct {
	number uint64
	id     uint64
	geo    geometry
	frames []frame // snapshot first, then deltas; no marks
	first  int64   // end of the first frame
	end    int64   // end of the last valid frame
	torn   int64   // bytes after it
	why    string  // what was wrong with them
}

// parseManifest tells a torn tail from damage. A tail is torn where nothing
// valid follows the first bad byte: the frame there was never known to be
// synced, for a mark follows each frame that was. All else is damage.
func parseManifest(path string, data []byte, number uint64) (*contents, error) {
	damage := func(off int64, format string, args ...any) error {
		return &DamageError{File: path, Offset: off, Detail: fmt.Sprintf(format, args...)}
	}
	if len(data) < manifestHeader || string(data[:8]) != manifestMagic {
		return nil, damage(0, "this is no manifest of row files")
	}
	if got, want := crc32.Checksum(data[:60], castagnoli), binary.LittleEndian.Uint32(data[60:]); got != want {
		return nil, damage(0, "header CRC-32C %#x, stored %#x", got, want)
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v > formatVersion {
		return nil, &NewerFormatError{path, v, formatVersion}
	} else if v < oldestReadable {
		return nil, damage(8, "format %d was never written", v)
	}
	c := &contents{number: binary.LittleEndian.Uint64(data[24:]), id: binary.LittleEndian.Uint64(data[32:]),
		geo: geometry{int(binary.LittleEndian.Uint32(data[12:])), int(binary.LittleEndian.Uint32(data[16:]))}, end: manifestHeader}
	if err := checkGeometry(c.geo.blockSize, c.geo.perFile); err != nil {
		return nil, damage(12, "%v", err)
	}
	if c.number != number {
		return nil, damage(24, "manifest number %d, the file's name says %d", c.number, number)
	}
	for c.end < int64(len(data)) {
		f, why := frameAt(data, c.id, c.end)
		if why != "" {
			c.why = why
			break
		}
		if err := c.add(f); err != "" {
			return nil, damage(c.end, "%s", err)
		}
		c.end = f.end
		if len(c.frames) == 1 && c.first == 0 {
			c.first = f.end
		}
	}
	if len(c.frames) == 0 {
		return nil, damage(c.end, "no snapshot at the beginning: %s", c.why)
	}
	if c.torn = int64(len(data)) - c.end; c.torn > 0 {
		for off := c.end + 8; off+frameHeader <= int64(len(data)); off += 8 {
			if f, why := frameAt(data, c.id, off); why == "" {
				return nil, damage(c.end, "%s; but checkpoint %d follows at offset %d, so this is no torn end", c.why, f.record, off)
			}
		}
	}
	return c, nil
}

// add checks the order of the frames.
func (c *contents) add(f frame) (why string) {
	n := len(c.frames)
	switch {
	case f.kind == frameMark && n > 0 && f.record == c.frames[n-1].record && len(f.payload) == 0:
		return ""
	case f.kind == frameSnapshot && n == 0, f.kind == frameDelta && n > 0 && f.record == c.frames[n-1].record+1:
		c.frames = append(c.frames, f)
		return ""
	}
	return fmt.Sprintf("frame of kind %d and record %d stands in the wrong place", f.kind, f.record)
}

// createManifest writes a new manifest with one snapshot, syncs it, and makes it
// the current one.
func createManifest(fs vfs.FS, dir string, number uint64, geo geometry, record uint64, payload []byte) (*manifest, error) {
	if len(payload) > maxFramePayload {
		return nil, fmt.Errorf("rows: the state takes %d bytes in a manifest, at most %d are allowed", len(payload), maxFramePayload)
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	m := &manifest{fs: fs, dir: dir, number: number, id: binary.LittleEndian.Uint64(id[:]), record: record}
	path := fs.PathJoin(dir, manifestName(number))
	if err := fs.Remove(path); err != nil && !isNotExist(err) {
		return nil, err
	}
	var err error
	if m.file, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return nil, err
	}
	data := encodeHeader(formatVersion, geo, number, m.id)
	data = append(data, encodeFrame(m.id, frameSnapshot, record, manifestHeader, payload)...)
	m.size = int64(len(data))
	m.first = m.size
	if _, err = m.file.WriteAt(data, 0); err == nil {
		err = m.file.Sync()
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err == nil {
		err = writeCurrent(fs, dir, number)
	}
	if err == nil {
		err = m.mark()
	}
	if err != nil {
		return nil, errors.Join(err, m.file.Close())
	}
	return m, nil
}

// append adds a delta and syncs it. Then the checkpoint is durable.
func (m *manifest) append(payload []byte) error {
	f := encodeFrame(m.id, frameDelta, m.record+1, m.size, payload)
	if _, err := m.file.WriteAt(f, m.size); err != nil {
		return err
	}
	if err := m.file.SyncData(); err != nil {
		return err
	}
	m.size += int64(len(f))
	m.record++
	return m.mark()
}

// mark notes that the last frame has been synced. The mark itself becomes durable
// with the next sync, or when the system writes it back: it tells damage that a
// frame takes later from a tear, where missing it only means that it cannot.
func (m *manifest) mark() error {
	f := encodeFrame(m.id, frameMark, m.record, m.size, nil)
	if _, err := m.file.WriteAt(f, m.size); err != nil {
		return err
	}
	m.size += int64(len(f))
	return nil
}

func (m *manifest) close() error { return errors.Join(m.file.SyncData(), m.file.Close()) }

// encodeCurrent draws the file CURRENT, one line of text:
//
//	MANIFEST-000001 <CRC-32C of the name, 8 hex digits>
func encodeCurrent(number uint64) []byte {
	name := manifestName(number)
	return fmt.Appendf(nil, "%s %08x\n", name, crc32.Checksum([]byte(name), castagnoli))
}

func writeCurrent(fs vfs.FS, dir string, number uint64) error {
	path := fs.PathJoin(dir, currentName)
	f, err := fs.Create(path+tmpSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.Write(encodeCurrent(number)); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+tmpSuffix, path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// readCurrent returns the number of the current manifest; ok is false where there
// is no CURRENT.
func readCurrent(fs vfs.FS, dir string) (number uint64, ok bool, err error) {
	path := fs.PathJoin(dir, currentName)
	data, err := readFile(fs, path, 4096)
	if isNotExist(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if _, err := fmt.Sscanf(string(data), manifestPrefix+"%d ", &number); err != nil || !bytes.Equal(data, encodeCurrent(number)) {
		return 0, false, &DamageError{File: path, Detail: fmt.Sprintf("%.60q names no manifest", data)}
	}
	return number, true, nil
}

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &DamageError{File: path, Detail: fmt.Sprintf("%d bytes, at most %d make sense", info.Size(), limit)}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil && len(data) > 0 {
		return nil, fmt.Errorf("rows: read %s: %w", path, err)
	}
	return data, nil
}

func isManifest(name string) bool { return strings.HasPrefix(name, manifestPrefix) }
