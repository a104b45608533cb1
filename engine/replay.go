package engine

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/search"
	"github.com/arrwdb/arrwdb/wal"
)

// progressEvery is how often Options.Progress is told how the replay goes.
const progressEvery = 100 * time.Millisecond

// replay brings every view up to the end of the log, through the code that
// applies live writes.
func (db *DB) replay() error {
	end := db.log.Durable()
	views := db.views()
	low := end.Stamp
	for _, v := range views {
		if v.stamp().Less(low) {
			low = v.stamp()
		}
	}
	if low.Commit < end.Commit {
		if err := db.replayFrom(low, end.Stamp); err != nil {
			return err
		}
	}
	for _, v := range views {
		if v.stamp().Commit != end.Commit {
			return &DamageError{Where: db.dir, Err: fmt.Errorf("%s stand at %s, the log ends at %s", v.name(), v.stamp(), end.Stamp)}
		}
	}
	db.visible.Store(&visibleState{Stamp: end.Stamp, chain: end.Chain})
	return nil
}

func (db *DB) replayFrom(low, end change.Stamp) error {
	r, err := db.log.NewReader(wal.ReaderStart{Commit: low.Commit + 1})
	if err != nil {
		return &DamageError{Where: db.opts.FS.PathJoin(db.dir, logDir), Err: fmt.Errorf("a view stands at commit %d and the log cannot be read from there: %w", low.Commit, err)}
	}
	p := db.newReplayer(r, low, end)
	go p.read()
	start := time.Now()
	told := start
	var chain uint32
	for c := range p.commits {
		if c.noSeq { // the check of its seq is that of a frame before
			if c.chain = chain; c.stamp.Commit == low.Commit+1 {
				c.chain, err = db.log.ChainAt(c.stamp.Seq)
			}
		}
		if err == nil {
			err = db.applyViews(&c.commit)
		}
		if err != nil {
			break
		}
		chain = c.chain
		db.recovery.Commits++
		db.recovery.Records += uint64(len(c.records))
		if now := time.Now(); db.opts.Progress != nil && now.Sub(told) >= progressEvery {
			told = now
			db.opts.Progress(RecoveryProgress{Commit: c.stamp.Commit, From: low.Commit, Target: end.Commit, Records: db.recovery.Records, Elapsed: now.Sub(start)})
		}
	}
	p.stop()
	db.recovery.ReplayMS = float64(time.Since(start).Microseconds()) / 1000
	return errors.Join(err, p.err, r.Close())
}

// A replayer reads and decodes commits ahead of the views, and has their texts
// analysed by idle processors, as live writes are (see textsAhead).
type replayer struct {
	db       *DB
	r        *wal.Reader
	from, to uint64 // commits
	// words is from where on the search view wants commits, texts what analyses
	// the texts of the libraries that there were, and that the log has made since.
	words change.Stamp
	texts map[uint32]*search.TextAnalysis

	commits chan *readCommit // in order
	busy    chan struct{}    // a place for each analysis under way
	quit    chan struct{}
	err     error // why it ended early; set before commits is closed
}

var errReplayStopped = errors.New("the replay was stopped")

// A readCommit is a commit that was read from the log.
type readCommit struct {
	commit
	noSeq bool // it holds no change
}

// replayHelpers is how many goroutines analyse texts during a replay.
func replayHelpers() int64 { return int64(max(runtime.GOMAXPROCS(0)-1, 1)) }

func (db *DB) newReplayer(r *wal.Reader, low, end change.Stamp) *replayer {
	n := int(replayHelpers())
	p := &replayer{db: db, r: r, from: low.Commit + 1, to: end.Commit, words: db.searchView.at, texts: map[uint32]*search.TextAnalysis{},
		commits: make(chan *readCommit, 2*n), busy: make(chan struct{}, n), quit: make(chan struct{})}
	db.libs.Range(func(_, v any) bool {
		lib := v.(*libraryInfo)
		p.texts[lib.num] = lib.texts
		return true
	})
	return p
}

// stop waits until nothing is read any more.
func (p *replayer) stop() {
	close(p.quit)
	for range p.commits {
	}
}

func (p *replayer) read() {
	defer close(p.commits)
	for next := p.from; next <= p.to; next++ {
		f, err := p.r.Next(p.to)
		if err == nil && f.Commit != next {
			err = io.ErrUnexpectedEOF
		}
		c := new(readCommit)
		if err == nil {
			c.stamp, c.chain, c.time, c.records = f.Stamp(), f.Chain, f.Time, f.Records
			c.noSeq = f.LastSeq < f.FirstSeq
			err = decodeCommit(&c.commit)
		}
		if err == nil {
			err = p.analyse(&c.commit)
		}
		switch {
		case errors.Is(err, errReplayStopped):
			return
		case err != nil:
			p.err = fmt.Errorf("replaying commit %d: %w", next, err)
			return
		}
		select {
		case p.commits <- c:
		case <-p.quit:
			return
		}
	}
}

// analyse begins the analysis of the texts that a commit adds.
func (p *replayer) analyse(c *commit) error {
	if !p.words.Less(c.stamp) {
		return nil
	}
	a := &textsAhead{done: make(chan struct{}), docs: make([]search.DocumentWords, len(c.docs))}
	of := make([]*search.TextAnalysis, len(c.docs))
	doc := 0
	for i := range c.records {
		r := &c.records[i]
		switch {
		case isDocument(r.Kind):
			if of[doc] = p.texts[r.Library]; of[doc] != nil {
				r.Ahead = wordsAhead{of: a, op: doc}
			}
			doc++
		case r.Kind == change.LibraryCreated:
			x, err := newTexts(r)
			if err != nil {
				return err
			}
			p.texts[r.Library] = x
		}
	}
	select {
	case p.busy <- struct{}{}:
	case <-p.quit:
		return errReplayStopped
	}
	go func() {
		defer func() { <-p.busy }()
		defer close(a.done)
		for i, x := range of {
			if d := &c.docs[i]; x != nil && len(d.Added) > 0 {
				a.docs[i] = x.Document(d.Title, d.Added)
			}
		}
	}()
	return nil
}

// newTexts returns the analysis for the library that a record makes.
func newTexts(r *change.Record) (*search.TextAnalysis, error) {
	c, err := change.DecodeLibrary(r)
	if err != nil {
		return nil, err
	}
	lib, err := (&libRow{Num: r.Library, Settings: c.Settings}).library()
	if err != nil {
		return nil, err
	}
	a, err := analysis.New(lib.Analyzer.Language)
	if err != nil {
		return nil, err
	}
	return search.NewTextAnalysis(a), nil
}
