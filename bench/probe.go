package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// probeBytes is the length of the probe's file.
const probeBytes = 8 << 20

// Sync is what a device needs to make one write durable.
type Sync struct {
	Bytes  int     `json:"bytes"`
	Writes int     `json:"writes"`
	Mean   float64 `json:"mean_us"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
}

// A Probe measures the raw sync time of a directory: one goroutine that writes
// into a file of zeros, whose blocks and length no longer change, and calls
// fdatasync after each write. This is the least that a durable write can cost
// there.
type Probe struct {
	f   vfs.File
	dir string
	at  int64
}

// NewProbe makes the file of the probe, and syncs it.
func NewProbe(dir string) (*Probe, error) {
	f, err := vfs.Default.Create(filepath.Join(dir, "probe"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("bench: the raw probe: %w", err)
	}
	p := &Probe{f: f, dir: dir}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < probeBytes && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros, at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("bench: the raw probe: %w", err)
	}
	return p, nil
}

// Measure writes size bytes and syncs them, again and again, for that long and
// at least once.
func (p *Probe) Measure(size int, d time.Duration) (Sync, error) {
	return p.measure(size, 0, d)
}

// measure is Measure with a pause between the writes, which is not counted:
// after a pause, devices and processors need longer.
func (p *Probe) measure(size int, pause, d time.Duration) (Sync, error) {
	if size <= 0 || size > probeBytes {
		return Sync{}, fmt.Errorf("bench: a probe of %d bytes", size)
	}
	buf := make([]byte, size)
	for i := range buf {
		buf[i] = byte(i*7 + 1)
	}
	hist := newLatency()
	var total time.Duration
	start, n := time.Now(), 0
	for at := start; n == 0 || at.Sub(start) < d; n++ {
		if pause > 0 {
			time.Sleep(pause)
			at = time.Now()
		}
		if p.at+int64(size) > probeBytes {
			p.at = 0
		}
		if _, err := p.f.WriteAt(buf, p.at); err != nil {
			return Sync{}, fmt.Errorf("bench: the raw probe: %w", err)
		}
		if err := p.f.SyncData(); err != nil {
			return Sync{}, fmt.Errorf("bench: the raw probe: %w", err)
		}
		p.at += int64(size)
		now := time.Now()
		hist.record(now.Sub(at))
		total += now.Sub(at)
		at = now
	}
	return Sync{Bytes: size, Writes: n, Mean: us(total) / float64(n), P50: hist.micros(50), P99: hist.micros(99)}, nil
}

// Close removes the file.
func (p *Probe) Close() {
	p.f.Close()
	os.Remove(filepath.Join(p.dir, "probe"))
}
