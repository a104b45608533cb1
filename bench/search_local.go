package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/arrwdb/arrwdb/engine"
)

// A local is a database in this process, which is searched without a server.
type local struct {
	db  *engine.DB
	dir string
	buf []byte
}

// newLocal writes n documents, and waits until their indexes are what they stay.
func (e *Env) newLocal(ctx context.Context, d *docs, n int) (*local, error) {
	dir, err := e.subdir()
	if err != nil {
		return nil, err
	}
	s := &local{dir: dir}
	e.Logger.Info("bench: writing documents", "docs", n)
	if err = s.open(e); err == nil {
		err = load(ctx, s.db, d, n)
	}
	if err == nil {
		_, err = e.quiet(ctx, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *local) open(e *Env) (err error) {
	s.db, err = engine.Open(s.data(), engine.Options{Create: true, Logger: e.Logger})
	return err
}

func (s *local) data() string { return filepath.Join(s.dir, "data") }

// copyTo copies the data, which are the same on both sides then: also what is in
// files and what is in memory.
func (s *local) copyTo(e *Env, data string) error {
	if err := s.db.Close(); err != nil {
		return err
	}
	s.db = nil
	if err := os.CopyFS(data, os.DirFS(s.data())); err != nil {
		return err
	}
	return s.open(e)
}

func (s *local) close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// search makes one search after the other for that long; with render it also makes
// the JSON of their hits, as an answer has it.
func (s *local) search(ctx context.Context, requests []*engine.SearchRequest, first int, d time.Duration, render bool) (latency, error) {
	hist := newLatency()
	for i, start := first, time.Now(); i == first || time.Since(start) < d; i++ {
		q := requests[i%len(requests)]
		at := time.Now()
		r, err := s.db.Search(ctx, "bench", q)
		if err != nil {
			return hist, err
		}
		n := r.Len()
		if render {
			s.buf, err = appendHits(s.buf[:0], r, engine.HitOptions{Text: true, Metadata: true})
		}
		r.Close()
		hist.record(time.Since(at))
		if err == nil && n == 0 {
			err = fmt.Errorf("a search finds nothing: %+v", q)
		}
		if err != nil {
			return hist, err
		}
	}
	return hist, nil
}

// appendHits appends all hits with commas between them.
func appendHits(dst []byte, r *engine.SearchResult, o engine.HitOptions) (_ []byte, err error) {
	for i := range r.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = r.AppendHit(dst, i, o, ""); err != nil {
			return dst, err
		}
	}
	return dst, nil
}
