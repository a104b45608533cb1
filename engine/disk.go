package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// The ballast is a file that holds nothing. Where the disk is full it is removed, so
// that what was acknowledged can be flushed, and deletes and compactions go on.
const (
	ballastName = "BALLAST"
	maxBallast  = 32 << 20
	// maxReserve is how much of the disk is left free: the store's memtables, what
	// a compaction and a checkpoint write, and the next segment of the log.
	maxReserve = 256 << 20
	diskEvery  = 100 * time.Millisecond
)

// The states of a disk.
const (
	diskOK int32 = iota
	diskLow
	diskFull
)

// A diskGuard watches the room on the disk. It does nothing on a file system that
// does not say how much there is.
type diskGuard struct {
	fs      vfs.FS // below the guard
	dir     string
	logger  logger
	reserve uint64
	size    int64 // of the ballast

	state atomic.Int32
	usage atomic.Pointer[vfs.DiskUsage]
	mu    sync.Mutex // guards the ballast
	held  bool
}

type logger interface {
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
	Info(msg string, args ...any)
}

// guardDisk returns a guard of the disk that dir is on, and the file system through
// which the database is to write.
func guardDisk(o Options, dir string) (*diskGuard, vfs.FS) {
	g := &diskGuard{fs: o.FS, dir: dir, logger: o.Logger, reserve: o.DiskReserve, size: maxBallast}
	u, err := g.fs.GetDiskUsage(dir)
	if err == nil {
		g.usage.Store(&u)
		if g.reserve == 0 {
			g.reserve = min(maxReserve, u.TotalBytes/8)
		}
		g.size = int64(min(maxBallast, u.TotalBytes/64))
		_, err := g.fs.Stat(g.path())
		g.held = err == nil
	}
	return g, spaceFS{o.FS, g}
}

// met is told that a write has met a full disk. It reports whether there is more room
// now: the ballast's.
func (g *diskGuard) met() bool {
	if g.usage.Load() != nil && g.state.Swap(diskFull) != diskFull {
		g.logger.Error("the disk is full: writes are refused, reads and deletes go on", "dir", g.dir)
	}
	return g.drop()
}

func (g *diskGuard) path() string { return g.fs.PathJoin(g.dir, ballastName) }

// drop removes the ballast, and reports whether there was one.
func (g *diskGuard) drop() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.held {
		return false
	}
	g.held = false
	if err := g.fs.Remove(g.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.logger.Error("the ballast file cannot be removed", "err", err)
		return false
	}
	g.logger.Warn("the ballast file was removed to make room", "bytes", g.size)
	return true
}

// take makes the ballast.
func (g *diskGuard) take() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		return nil
	}
	f, err := g.fs.Create(g.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	g.held = true
	if err := errors.Join(f.Preallocate(0, g.size), f.Sync(), f.Close()); err != nil {
		g.held = false
		return errors.Join(err, g.fs.Remove(g.path()))
	}
	return nil
}

// look finds out how much room there is, and what follows from that.
func (g *diskGuard) look() {
	u, err := g.fs.GetDiskUsage(g.dir)
	if err != nil {
		return
	}
	g.usage.Store(&u)
	g.mu.Lock()
	held := g.held
	g.mu.Unlock()
	before, state := g.state.Load(), diskOK
	enough := g.reserve
	if before == diskFull { // not back and forth, and with room for the ballast
		enough += g.reserve / 4
		if !held {
			enough += uint64(g.size)
		}
	}
	switch {
	case u.AvailBytes < enough:
		state = diskFull
	case u.AvailBytes < 2*g.reserve:
		state = diskLow
	}
	if held && u.AvailBytes < g.reserve/4 {
		g.drop()
	}
	if !held && state == diskOK {
		if err := g.take(); err != nil {
			g.logger.Warn("the ballast file cannot be made", "err", err)
		}
	}
	if !g.state.CompareAndSwap(before, state) || state == before {
		return
	}
	switch room := fmt.Sprintf("%d MiB of %d", u.AvailBytes>>20, u.TotalBytes>>20); state {
	case diskFull:
		g.logger.Error("the disk has no room: writes are refused, reads and deletes go on", "dir", g.dir, "available", room, "reserve", g.reserve)
	case diskLow:
		g.logger.Warn("the disk will soon be full", "dir", g.dir, "available", room, "reserve", g.reserve)
	default:
		g.logger.Info("the disk has room again", "dir", g.dir, "available", room)
	}
}

func (g *diskGuard) full() bool { return g.state.Load() == diskFull }

// watchDisk looks at the disk until the database is closed.
func (db *DB) watchDisk() {
	db.disk.look()
	if db.disk.usage.Load() == nil {
		return
	}
	db.tasks.Go(func() {
		t := time.NewTicker(diskEvery)
		defer t.Stop()
		for {
			select {
			case <-db.stop:
				return
			case <-t.C:
				db.disk.look()
			}
		}
	})
}

// grows reports whether a group adds something: deletes go on where the disk is full.
func (g *Group) grows() bool {
	for i := range g.Ops {
		if k := g.Ops[i].Kind; k != OpDelete && k != OpDeleteChunk {
			return true
		}
	}
	return g.lib != nil && g.lib.kind != change.LibraryDeleted
}

// room returns why a group cannot be taken for want of room, or nil. Nothing of the
// group has touched the log.
func (db *DB) room(g *Group) *change.Error {
	if db.disk.full() && g.grows() {
		e := change.Errorf(change.DiskFull, "the disk has no room for more; nothing was written; reads and deletes go on, and writes when there is room again")
		if u := db.disk.usage.Load(); u != nil {
			e = e.With("available_bytes", u.AvailBytes).With("reserve_bytes", db.disk.reserve)
		}
		return e
	}
	if err := db.log.Room(); err != nil {
		return &change.Error{Code: change.DiskFull, Detail: "the disk has no room for the next segment of the log; nothing was written; reads go on, and writes when there is room again", Err: err}
	}
	return nil
}

// DiskStatus says how much room there is.
type DiskStatus struct {
	State          string `json:"state"` // ok, low, full, or unknown
	AvailableBytes uint64 `json:"available_bytes"`
	TotalBytes     uint64 `json:"total_bytes"`
	ReserveBytes   uint64 `json:"reserve_bytes"` // below that writes are refused
	BallastBytes   int64  `json:"ballast_bytes"`
}

func (g *diskGuard) status() DiskStatus {
	s := DiskStatus{State: [...]string{"ok", "low", "full"}[g.state.Load()], ReserveBytes: g.reserve}
	if u := g.usage.Load(); u != nil {
		s.AvailableBytes, s.TotalBytes = u.AvailBytes, u.TotalBytes
	} else if s.State == "ok" {
		s.State = "unknown"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		s.BallastBytes = g.size
	}
	return s
}
