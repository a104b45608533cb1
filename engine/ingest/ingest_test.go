package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/engine/ingest"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func small(fs vfs.FS) engine.Options {
	return engine.Options{FS: fs, Create: true, SegmentSize: 1 << 20, MemTableBytes: 1 << 20, CacheBytes: 1 << 20,
		RowBlockBytes: 1 << 10, RowBlocksPerFile: 8, CheckpointInterval: -1, Logger: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, fs vfs.FS, change func(*engine.Options)) (*engine.DB, *engine.Library) {
	t.Helper()
	o := small(fs)
	if change != nil {
		change(&o)
	}
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	name := "lib"
	if _, _, err := db.CreateLibrary(context.Background(), &engine.LibrarySpec{ID: &name, Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil); err != nil {
		t.Fatal(err)
	}
	return db, library(t, db)
}

func openMem(t testing.TB) (*engine.DB, *engine.Library) {
	t.Helper()
	return open(t, vfs.NewMem(), nil)
}

func library(t testing.TB, db *engine.DB) *engine.Library {
	t.Helper()
	s := db.Snapshot()
	defer s.Close()
	lib, err := s.Library("lib")
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// titles returns the documents as "id=title …", in id order.
func titles(t testing.TB, db *engine.DB) string {
	t.Helper()
	var out []string
	s := db.Snapshot()
	defer s.Close()
	lib, err := s.Library("lib")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Documents(lib, "", nil, engine.ReadOptions{}, func(v *docjson.View) bool {
		out = append(out, v.ID+"="+v.Title)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func sourceLines(t testing.TB, db *engine.DB, name string) uint64 {
	t.Helper()
	s := db.Snapshot()
	defer s.Close()
	n, _, err := s.Source(library(t, db), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func doc(id, title string) string {
	return fmt.Sprintf(`{"id":%q,"title":%q,"text":"t","embedding":[1,2]}`, id, title)
}

// A log is a sink that writes down what it hears.
type log struct {
	mu    sync.Mutex
	lines []string
	acks  chan uint64 // if set: lines of each Ack
	quiet bool
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}
func (l *log) WantLines() bool { return !l.quiet }
func (l *log) Line(line uint64, id string, _ uint64, result string) {
	l.add("%d %s %s", line, id, result)
}
func (l *log) Error(e ingest.LineError) { l.add("%d %s", e.Line, e.Code) }
func (l *log) Ack(lines, lastSeq uint64) {
	if l.acks != nil {
		l.acks <- lines
	}
}
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, ", ")
}

func run(t testing.TB, db *engine.DB, body io.Reader, o ingest.Options) (*ingest.Summary, *log) {
	t.Helper()
	if o.Library == nil {
		o.Library = library(t, db)
	}
	l := new(log)
	sum, err := ingest.Run(context.Background(), db, body, o, l)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Complete != (sum.Problem == nil) {
		t.Errorf("Complete %v with problem %v", sum.Complete, sum.Problem)
	}
	if int(sum.Failed) != len(sum.Errors) && !sum.ErrorsTruncated {
		t.Errorf("%d failed, %d errors", sum.Failed, len(sum.Errors))
	}
	return sum, l
}

// counts shows successful/failed/skipped/lines and the problem's code.
func counts(s *ingest.Summary) string {
	out := fmt.Sprintf("%d/%d/%d/%d", s.Successful, s.Failed, s.Skipped, s.Lines)
	if s.Problem != nil {
		out += " " + string(s.Problem.Code)
	}
	return out
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func join(lines ...string) io.Reader { return strings.NewReader(strings.Join(lines, "\n")) }

func TestModesAndFaults(t *testing.T) {
	bad := `{"id":"b"`
	tests := []struct {
		name         string
		mode         engine.PutMode
		abort        bool
		lines        []string
		counts, docs string
		log          string
		source       uint64
	}{
		{"upsert", engine.Upsert, false, []string{doc("a", "1"), doc("old", "2"), doc("a", "3")}, "3/0/0/3", "a=3 old=2", "1 a added, 2 old updated, 3 a updated", 3},
		{"insert", engine.Insert, false, []string{doc("a", "1"), doc("old", "2"), doc("c", "3")}, "2/1/0/3", "a=1 c=3 old=0", "1 a added, 2 already_exists, 3 c added", 3},
		{"skip", engine.Skip, false, []string{doc("a", "1"), doc("old", "2"), doc("a", "3")}, "1/0/2/3", "a=1 old=0", "1 a added, 2 old skipped, 3 a skipped", 3},
		{"bad lines", engine.Upsert, false, []string{bad, "", doc("a", "1"), "\xff", `{"id":"x","text":"t","embedding":[1]}`, `{"id":"-","text":"t","embedding":[1,2]}`}, "1/4/0/6", "a=1 old=0",
			"1 invalid_json, 3 a added, 4 invalid_json, 5 dimension_mismatch, 6 invalid_argument", 6},
		{"only bad lines", engine.Upsert, false, []string{bad, "", "[]", ""}, "0/2/0/3", "old=0", "1 invalid_json, 3 invalid_argument", 3},
		{"abort at a bad line", engine.Upsert, true, []string{doc("a", "1"), "", bad, doc("c", "1")}, "1/1/0/3 invalid_json", "a=1 old=0", "1 a added, 3 invalid_json", 2},
		{"abort at the first line", engine.Upsert, true, []string{bad, doc("c", "1")}, "0/1/0/1 invalid_json", "old=0", "1 invalid_json", 0},
		{"abort at a conflict", engine.Insert, true, []string{doc("a", "1"), "", doc("old", "2"), doc("c", "1"), bad}, "1/1/0/3 already_exists", "a=1 old=0", "1 a added, 3 already_exists", 2},
		{"abort at a conflict of one", engine.Insert, true, []string{"", doc("old", "2")}, "0/1/0/2 already_exists", "old=0", "2 already_exists", 1},
		// The engine finds the fault of the third line first.
		{"abort at two conflicts", engine.Insert, true, []string{doc("a", "1"), doc("old", "2"), doc("-", "3"), doc("d", "1")}, "1/1/0/2 already_exists", "a=1 old=0", "1 a added, 2 already_exists", 1},
		{"abort, all well", engine.Skip, true, []string{doc("a", "1"), doc("old", "2")}, "1/0/1/2", "a=1 old=0", "1 a added, 2 old skipped", 2},
	}
	for _, tc := range tests {
		for _, source := range []string{"", "src"} {
			t.Run(tc.name+source, func(t *testing.T) {
				db, _ := openMem(t)
				run(t, db, join(doc("old", "0")), ingest.Options{})
				sum, l := run(t, db, join(tc.lines...), ingest.Options{Mode: tc.mode, Abort: tc.abort, Source: source})
				want(t, "counts", counts(sum), tc.counts)
				want(t, "documents", titles(t, db), tc.docs)
				want(t, "log", l.String(), tc.log)
				if sum.NumChunks != sum.Successful {
					t.Errorf("%d chunks", sum.NumChunks)
				}
				if sum.Position != db.Head() {
					t.Errorf("position %v, head %v", sum.Position, db.Head())
				}
				if sum.Successful > 0 && (sum.FirstSeq != 3 || sum.LastSeq != 2+sum.Successful) {
					t.Errorf("seqs %d to %d", sum.FirstSeq, sum.LastSeq)
				}
				if source != "" && sourceLines(t, db, source) != tc.source {
					t.Errorf("source at %d, want %d", sourceLines(t, db, source), tc.source)
				}
				if p := sum.Problem; p != nil && (p.Extra["line"] != sum.Errors[0].Line || strings.Contains(p.Detail, "operation")) {
					t.Errorf("problem %v", p)
				}
			})
		}
	}
}

func TestLines(t *testing.T) {
	a, b := doc("a", "1"), doc("b", "1")
	long := doc("long", strings.Repeat("x", 200))
	exact := doc("exact", strings.Repeat("x", 100-len(doc("exact", ""))))
	tests := []struct {
		name, body   string
		counts, docs string
	}{
		{"empty", "", "0/0/0/0", ""},
		{"newline", "\n", "0/0/0/1", ""},
		{"no newline", a + "\n" + b, "2/0/0/2", "a=1 b=1"},
		{"CRLF", a + "\r\n\r\n" + b + "\r\n", "2/0/0/3", "a=1 b=1"},
		{"CR at the end", a + "\r", "1/0/0/1", "a=1"},
		{"blanks", "\n \t\n" + a + "\n\n\n  ", "1/0/0/6", "a=1"},
		{"too long", long + "\n" + a, "1/1/0/2", "a=1"},
		{"too long last", a + "\n" + long, "1/1/0/2", "a=1"},
		{"exact", exact + "\n" + exact + "\r\n" + exact, "3/0/0/3", "exact=" + strings.Repeat("x", 100-len(doc("exact", "")))},
		{"one too many", exact + " \r\n" + a, "1/1/0/2", "a=1"},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
	}
	for _, tc := range tests {
		for name, reader := range readers {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				db, _ := openMem(t)
				sum, _ := run(t, db, reader(strings.NewReader(tc.body)), ingest.Options{MaxLineBytes: 100})
				want(t, "counts", counts(sum), tc.counts)
				want(t, "documents", titles(t, db), tc.docs)
				if sum.Read != sum.Lines {
					t.Errorf("%d lines read, %d dealt with", sum.Read, sum.Lines)
				}
				if sum.Failed > 0 && sum.Errors[0].Code != change.TooLarge {
					t.Errorf("error %v", sum.Errors[0])
				}
			})
		}
	}
}

func TestCutBody(t *testing.T) {
	mine := change.Errorf(change.UnsupportedMedia, "not gzip")
	mine.Err = io.EOF
	for err, code := range map[error]change.Code{io.ErrUnexpectedEOF: change.InvalidArgument, errors.New("reset"): change.InvalidArgument, mine: change.UnsupportedMedia} {
		db, _ := openMem(t)
		body := io.MultiReader(strings.NewReader(doc("a", "1")+"\n"+doc("b", "1")), iotest.ErrReader(err))
		sum, _ := run(t, db, body, ingest.Options{Source: "s"})
		want(t, "counts", counts(sum), "1/0/0/1 "+string(code))
		want(t, "documents", titles(t, db), "a=1")
		if n := sourceLines(t, db, "s"); n != 1 || sum.Read != 1 {
			t.Errorf("source at %d, %d read", n, sum.Read)
		}
		sum, _ = run(t, db, iotest.ErrReader(err), ingest.Options{})
		if sum.Read != 0 || sum.Problem == nil || sum.Problem.Code != code {
			t.Errorf("unreadable body: %+v", sum)
		}
	}
}

func TestErrorsAreNumberedAndCapped(t *testing.T) {
	db, _ := openMem(t)
	body := strings.Repeat("x\n\n", 10_000) + doc("a", "1")
	sum, l := run(t, db, strings.NewReader(body), ingest.Options{FirstLine: 1001})
	want(t, "counts", counts(sum), "1/10000/0/20001")
	if len(sum.Errors) != ingest.MaxErrors || !sum.ErrorsTruncated {
		t.Fatalf("%d errors, truncated %v", len(sum.Errors), sum.ErrorsTruncated)
	}
	for i, e := range sum.Errors {
		if e.Line != uint64(1001+2*i) {
			t.Fatalf("error %d is of line %d", i, e.Line)
		}
	}
	if len(l.lines) != 10_001 || l.lines[10_000] != "21001 a added" {
		t.Errorf("%d lines told, the last %q", len(l.lines), l.lines[len(l.lines)-1])
	}
}

func TestSourceResumes(t *testing.T) {
	db, lib := openMem(t)
	lines := []string{doc("a", "1"), "", "bad", doc("b", "1"), doc("a", "2"), ""}
	o := ingest.Options{Source: "s", Mode: engine.Upsert}
	sum, _ := run(t, db, strings.NewReader(strings.Join(lines[:3], "\n")+"\n"), o)
	want(t, "first part", counts(sum), "1/1/0/3")
	sum, _ = run(t, db, join(lines...), o)
	want(t, "from the beginning", counts(sum), "2/0/0/5")
	before := db.Head()
	sum, _ = run(t, db, join(lines...), o)
	want(t, "once more", counts(sum), "0/0/0/5")
	if db.Head() != before || sum.Position != before || sum.FirstSeq != 0 {
		t.Errorf("what was taken was taken again: %+v", sum)
	}
	o.FirstLine = 5
	sum, l := run(t, db, join(lines[4], doc("c", "1"), "bad"), o)
	want(t, "from line 5", counts(sum), "1/1/0/3")
	want(t, "from line 5", l.String(), "6 c added, 7 invalid_json")
	want(t, "documents", titles(t, db), "a=2 b=1 c=1")
	if n := sourceLines(t, db, "s"); n != 7 {
		t.Errorf("source at %d", n)
	}
	o.FirstLine, o.Library = 9, lib
	_, err := ingest.Run(context.Background(), db, join(doc("x", "1")), o, nil)
	wantCode(t, err, change.Conflict)
	if !strings.Contains(err.Error(), "9") || !strings.Contains(err.Error(), "7") {
		t.Errorf("a gap: %v", err)
	}
	o.FirstLine = 8
	sum, _ = run(t, db, join(doc("x", "1")), o)
	want(t, "the next line", counts(sum), "1/0/0/1")
}

func wantCode(t testing.TB, err error, code change.Code) {
	t.Helper()
	var e *change.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// A started upload reads what is written into its pipe.
type started struct {
	w    *io.PipeWriter
	acks chan uint64
	done chan struct{}
	log  *log
	sum  *ingest.Summary
	err  error
}

func start(ctx context.Context, t testing.TB, db *engine.DB, o ingest.Options) *started {
	t.Helper()
	r, w := io.Pipe()
	o.Library = library(t, db)
	o.Interrupt = func() { r.CloseWithError(errors.New("interrupted")) }
	s := &started{w: w, acks: make(chan uint64, 1000), done: make(chan struct{})}
	s.log = &log{acks: s.acks}
	go func() {
		defer close(s.done)
		s.sum, s.err = ingest.Run(ctx, db, r, o, s.log)
	}()
	return s
}

func (s *started) write(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(s.w, text); err != nil {
		t.Fatal(err)
	}
}

func (s *started) ack(t testing.TB, n uint64) {
	t.Helper()
	for got := range s.acks {
		if got == n {
			return
		}
		if got > n {
			t.Fatalf("ack of %d, want %d", got, n)
		}
	}
}

func TestVisibleBeforeTheBodyEnds(t *testing.T) {
	db, _ := openMem(t)
	s := start(context.Background(), t, db, ingest.Options{Source: "s"})
	s.write(t, doc("a", "1")+"\n"+doc("b", "1")[:10])
	if err := db.WaitVisible(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	s.ack(t, 1)
	want(t, "documents", titles(t, db), "a=1")
	if n := sourceLines(t, db, "s"); n != 1 {
		t.Errorf("source at %d", n)
	}
	_, err := ingest.Run(context.Background(), db, strings.NewReader(""), ingest.Options{Library: library(t, db), Source: "s"}, nil)
	wantCode(t, err, change.Conflict)
	s.write(t, doc("b", "1")[10:]+"\n")
	s.ack(t, 2)
	s.w.Close()
	<-s.done
	want(t, "counts", counts(s.sum), "2/0/0/2")
	sum, _ := run(t, db, strings.NewReader(""), ingest.Options{Source: "s"})
	want(t, "after it has ended", counts(sum), "0/0/0/0")
}

// TestEndsWhileTheBodyBlocks: the upload ends though nothing more is sent.
func TestEndsWhileTheBodyBlocks(t *testing.T) {
	t.Run("abort", func(t *testing.T) {
		db, _ := openMem(t)
		s := start(context.Background(), t, db, ingest.Options{Abort: true})
		s.write(t, doc("a", "1")+"\nbad\n")
		<-s.done
		want(t, "counts", counts(s.sum), "1/1/0/2 invalid_json")
	})
	t.Run("context", func(t *testing.T) {
		db, _ := openMem(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		s := start(ctx, t, db, ingest.Options{})
		s.write(t, doc("a", "1")+"\n"+doc("b", "1"))
		s.ack(t, 1)
		cancel(change.Errorf(change.ShuttingDown, "bye"))
		<-s.done
		want(t, "counts", counts(s.sum), "1/0/0/1 shutting_down")
		ctx, cancel2 := context.WithCancel(context.Background())
		s = start(ctx, t, db, ingest.Options{})
		cancel2()
		<-s.done
		want(t, "counts", counts(s.sum), "0/0/0/0 deadline_exceeded")
	})
	t.Run("closed database", func(t *testing.T) {
		db, _ := openMem(t)
		s := start(context.Background(), t, db, ingest.Options{})
		s.write(t, doc("a", "1")+"\n")
		s.ack(t, 1)
		db.Close()
		s.write(t, doc("b", "1")+"\nbad\n")
		<-s.done
		want(t, "counts", counts(s.sum), "1/0/0/1 shutting_down")
		want(t, "log", s.log.String(), "1 a added")
	})
	t.Run("library deleted", func(t *testing.T) {
		for _, source := range []string{"", "s"} {
			db, _ := openMem(t)
			s := start(context.Background(), t, db, ingest.Options{Source: source})
			s.write(t, doc("a", "1")+"\n")
			s.ack(t, 1)
			if _, err := db.DeleteLibrary(context.Background(), "lib"); err != nil {
				t.Fatal(err)
			}
			s.write(t, doc("b", "1")+"\n"+doc("c", "1")+"\n")
			<-s.done
			want(t, "counts", counts(s.sum), "1/0/0/1 library_not_found")
		}
	})
	t.Run("source reset", func(t *testing.T) {
		db, _ := openMem(t)
		s := start(context.Background(), t, db, ingest.Options{Source: "s"})
		s.write(t, doc("a", "1")+"\n")
		s.ack(t, 1)
		if _, err := db.DeleteSource(context.Background(), "lib", "s"); err != nil {
			t.Fatal(err)
		}
		s.write(t, doc("b", "1")+"\n")
		<-s.done
		want(t, "counts", counts(s.sum), "1/0/0/1 conflict")
	})
}

func TestLibraryGone(t *testing.T) {
	db, lib := openMem(t)
	other := *lib
	other.Num++
	_, err := ingest.Run(context.Background(), db, strings.NewReader("x"), ingest.Options{Library: &other}, nil)
	wantCode(t, err, change.LibraryNotFound)
	if _, err := db.DeleteLibrary(context.Background(), "lib"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock of the source is given back
		_, err = ingest.Run(context.Background(), db, strings.NewReader("x"), ingest.Options{Library: lib, Source: "s"}, nil)
		wantCode(t, err, change.LibraryNotFound)
	}
}

// TestFailedSync fails a sync of the log in the middle of a long upload with
// batches in flight, then repeats the upload on what is recovered.
func TestFailedSync(t *testing.T) {
	for _, abort := range []bool{false, true} {
		for _, at := range []int64{1, 3} {
			t.Run(fmt.Sprint(abort, at), func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				var left atomic.Int64
				inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "log/next-") && left.Add(-1) == 0 {
						return errors.New("injected EIO")
					}
					return nil
				})
				db, _ := open(t, errorfs.Wrap(mem, inj), nil)
				var body bytes.Buffer
				const n = 16_000
				for i := range n {
					fmt.Fprintln(&body, doc("d"+strconv.Itoa(i), strconv.Itoa(i)))
				}
				left.Store(at)
				o := ingest.Options{Mode: engine.Insert, Source: "s", Abort: abort}
				sum, l := run(t, db, bytes.NewReader(body.Bytes()), o)
				if sum.Problem == nil || !sum.Problem.Transient() || sum.Failed > 0 || sum.Successful != sum.Lines || sum.Lines == n || len(l.lines) != int(sum.Lines) {
					t.Fatalf("%+v, %v", sum, sum.Problem)
				}
				if lines := sourceLines(t, db, "s"); lines != sum.Lines || lines != library(t, db).Stats.Documents {
					t.Errorf("source at %d, %d lines, %d documents", lines, sum.Lines, library(t, db).Stats.Documents)
				}
				db.Close()

				db, err := engine.Open("db", small(mem))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				from := sourceLines(t, db, "s")
				if from < sum.Lines {
					t.Fatalf("recovered %d lines of %d", from, sum.Lines)
				}
				sum, _ = run(t, db, bytes.NewReader(body.Bytes()), o)
				want(t, "repeat", counts(sum), fmt.Sprintf("%d/0/0/%d", n-from, n))
				if docs := library(t, db).Stats.Documents; docs != n {
					t.Errorf("%d documents", docs)
				}
			})
		}
	}
}

// TestManyBatches compares a long upload, with faults here and there, with what
// it must give; under abort up to the first fault.
func TestManyBatches(t *testing.T) {
	const n = 10_000
	for _, abort := range []int{0, 1, 4096, 4097, 9000} {
		t.Run(strconv.Itoa(abort), func(t *testing.T) {
			db, _ := openMem(t)
			run(t, db, join(doc("d"+strconv.Itoa(abort), "old")), ingest.Options{})
			var body bytes.Buffer
			good, bad := 0, 0
			for i := 1; i <= n; i++ {
				switch {
				case abort == 0 && i%1000 == 7:
					body.WriteString("bad\n")
					bad++
				case i%500 == 3:
					body.WriteByte('\n')
				default:
					fmt.Fprintln(&body, doc("d"+strconv.Itoa(i), strconv.Itoa(i)))
					good++
				}
			}
			sum, _ := run(t, db, &body, ingest.Options{Mode: engine.Insert, Source: "s", Abort: abort > 0})
			if abort == 0 {
				want(t, "counts", counts(sum), fmt.Sprintf("%d/%d/0/%d", good, bad, n))
				return
			}
			if sum.Failed != 1 || sum.Lines != uint64(abort) || sum.Problem.Code != change.AlreadyExists {
				t.Fatalf("%s: %v", counts(sum), sum.Problem)
			}
			if lines := sourceLines(t, db, "s"); lines != uint64(abort)-1 {
				t.Errorf("source at %d", lines)
			}
			if docs := library(t, db).Stats.Documents; docs != sum.Successful+1 {
				t.Errorf("%d documents", docs)
			}
		})
	}
}

// TestSplitsGroups replaces documents with metadata so large that what was there
// before, which the log keeps with the change, does not fit into one group.
func TestSplitsGroups(t *testing.T) {
	const heavy = 20
	for _, abort := range []bool{false, true} {
		for _, source := range []string{"", "s"} {
			t.Run(fmt.Sprint(abort, source), func(t *testing.T) {
				db, _ := open(t, vfs.NewMem(), func(o *engine.Options) { o.SegmentSize, o.MemTableBytes = 32<<20, 64<<20 })
				var body strings.Builder
				pad := strings.Repeat("x", 900<<10)
				for i := range heavy {
					fmt.Fprintf(&body, `{"id":"h%02d","metadata":{"pad":%q},"text":"t","embedding":[1,2]}`+"\n", i, pad)
				}
				sum, _ := run(t, db, strings.NewReader(body.String()), ingest.Options{Abort: abort})
				want(t, "heavy", counts(sum), fmt.Sprintf("%d/0/0/%d", heavy, heavy))
				body.Reset()
				const n = 9_000
				for i := range n {
					id := fmt.Sprintf("d%d", i)
					if i%200 < 20 && i < 400 {
						id = fmt.Sprintf("h%02d", i/200*10+i%200/2)
					}
					fmt.Fprintln(&body, doc(id, strconv.Itoa(i)))
				}
				sum, l := run(t, db, strings.NewReader(body.String()), ingest.Options{Abort: abort, Source: source})
				want(t, "counts", counts(sum), fmt.Sprintf("%d/0/0/%d", n, n))
				for i, line := range l.lines {
					if source != "" && !strings.HasPrefix(line, strconv.Itoa(i+1)+" ") {
						t.Fatalf("line %d told as %q", i+1, line)
					}
				}
				if source != "" && sourceLines(t, db, source) != n {
					t.Errorf("source at %d", sourceLines(t, db, source))
				}
			})
		}
	}
}

// TestLargeLines: a line that takes a batch by itself, and one too large for the
// log though it is short enough.
func TestLargeLines(t *testing.T) {
	db, _ := open(t, vfs.NewMem(), func(o *engine.Options) { o.SegmentSize, o.MemTableBytes = 64<<20, 64<<20 })
	large := func(id string, n int) string {
		return fmt.Sprintf(`{"id":%q,"text":%q,"embedding":[1,2]}`, id, strings.Repeat("x", n))
	}
	body := strings.Join([]string{doc("a", "1"), large("b", 15<<20), doc("c", "1"), large("d", 3<<20), large("e", 3<<20), large("f", 16<<20-1000), doc("g", "1"), large("h", 20<<20)}, "\n")
	for _, abort := range []bool{false, true} {
		sum, _ := run(t, db, strings.NewReader(body), ingest.Options{Abort: abort, Source: fmt.Sprint("s", abort), MaxLineBytes: 17 << 20})
		if abort {
			want(t, "counts", counts(sum), "5/1/0/6 too_large")
		} else {
			want(t, "counts", counts(sum), "6/2/0/8")
		}
		if sum.Errors[0].Line != 6 {
			t.Errorf("errors %+v", sum.Errors)
		}
	}
}

// TestTooLargeForAGroup: what a document replaces makes its change too large,
// alone in its group.
func TestTooLargeForAGroup(t *testing.T) {
	db, _ := open(t, vfs.NewMem(), func(o *engine.Options) { o.SegmentSize, o.MemTableBytes = 64<<20, 64<<20 })
	run(t, db, join(fmt.Sprintf(`{"id":"b","metadata":{"pad":%q},"text":"t","embedding":[1,2]}`, strings.Repeat("x", 1000<<10))), ingest.Options{})
	large := fmt.Sprintf(`{"id":"b","text":%q,"embedding":[1,2]}`, strings.Repeat("x", 16<<20-100<<10))
	for _, abort := range []bool{false, true} {
		for _, source := range []string{"", "s"} {
			if source != "" {
				source += strconv.FormatBool(abort)
			}
			sum, l := run(t, db, join(doc("a", "1"), "", large, doc("c", "1")), ingest.Options{Abort: abort, Source: source})
			w, lines := "2/1/0/4", uint64(4)
			if abort {
				w, lines = "1/1/0/3 too_large", 2
			}
			want(t, "counts", counts(sum), w)
			if sum.Errors[0].Line != 3 {
				t.Errorf("told %v", l)
			}
			if source != "" && sourceLines(t, db, source) != lines {
				t.Errorf("source at %d, want %d", sourceLines(t, db, source), lines)
			}
		}
	}
}

// A generator is a body of any length.
type generator struct {
	piece []byte
	left  int64
	at    int
}

func (g *generator) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && g.left > 0 {
		k := copy(p[n:min(len(p), n+int(min(g.left, int64(len(p)))))], g.piece[g.at:])
		n, g.left, g.at = n+k, g.left-int64(k), (g.at+k)%len(g.piece)
	}
	return n, nil
}

// TestMemoryStaysFlat compares what is allocated over long bodies with their
// length: line bytes and documents are used again, and a line that is too long
// is not kept.
func TestMemoryStaysFlat(t *testing.T) {
	db, _ := openMem(t)
	allocated := func(body io.Reader, o ingest.Options) (*ingest.Summary, uint64) {
		var before, after runtime.MemStats
		o.Library = library(t, db)
		runtime.ReadMemStats(&before)
		sum, err := ingest.Run(context.Background(), db, body, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return sum, after.TotalAlloc - before.TotalAlloc
	}
	sum, n := allocated(&generator{piece: bytes.Repeat([]byte("x"), 4096), left: 1 << 30}, ingest.Options{MaxLineBytes: 1 << 20})
	want(t, "one line of 1 GiB", counts(sum), "0/1/0/1")
	if n > 16<<20 {
		t.Errorf("one line of 1 GiB: %d MiB allocated", n>>20)
	}
	sum, n = allocated(&generator{piece: []byte("\n"), left: 20 << 20}, ingest.Options{})
	want(t, "20 Mi blank lines", counts(sum), "0/0/0/20971520")
	if n > 32<<20 {
		t.Errorf("blank lines: %d MiB allocated", n>>20)
	}
	line := []byte(doc("a", strings.Repeat("x", 2000)) + "\n")
	run(t, db, bytes.NewReader(line), ingest.Options{})
	sum, n = allocated(&generator{piece: line, left: 100_000 * int64(len(line))}, ingest.Options{Mode: engine.Skip})
	want(t, "documents", counts(sum), "0/0/100000/100000")
	t.Logf("%d bytes allocated for a line of %d", n/100_000, len(line))
	// The engine reads the row ahead and encodes the content: 3 times the line.
	// The rest is for the race detector, which makes a sync.Pool forgetful.
	if n > 100_000*6*uint64(len(line)) {
		t.Errorf("documents: %d bytes allocated for each line", n/100_000)
	}
}

// TestBodyIsTheCallersAgain: Run does not touch the body once it has returned,
// and a reader that gives nothing for ever is an error.
func TestBodyIsTheCallersAgain(t *testing.T) {
	db, _ := openMem(t)
	sum, _ := run(t, db, readerFunc(func([]byte) (int, error) { return 0, nil }), ingest.Options{})
	if sum.Problem == nil || !errors.Is(sum.Problem, io.ErrNoProgress) {
		t.Errorf("%v", sum.Problem)
	}
	var reads, returned atomic.Int64
	body := readerFunc(func(p []byte) (int, error) {
		if returned.Load() > 0 {
			t.Error("read after Run has returned")
		}
		reads.Add(1)
		return copy(p, "bad\n"), nil
	})
	sum, _ = run(t, db, body, ingest.Options{Abort: true})
	returned.Add(1)
	want(t, "counts", counts(sum), "0/1/0/1 invalid_json")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func BenchmarkRun(b *testing.B) {
	for _, mode := range []engine.PutMode{engine.Upsert, engine.Skip} {
		b.Run([]string{"upsert", "insert", "skip"}[mode], func(b *testing.B) {
			db, _ := open(b, vfs.NewMem(), func(o *engine.Options) {
				o.SegmentSize, o.MemTableBytes, o.RowBlockBytes, o.RowBlocksPerFile = 0, 0, 0, 0
			})
			vec := strings.TrimSuffix(strings.Repeat("0.01234567,", 128), ",")
			text := strings.Repeat("lorem ipsum ", 45)
			lib := library(b, db)
			var body bytes.Buffer
			for i := range b.N {
				fmt.Fprintf(&body, `{"id":"d%d","title":"a title","metadata":{"n":%d},"text":%q,"embedding":[%s]}`+"\n", i%50_000, i, text, vec)
			}
			b.SetBytes(int64(body.Len() / b.N))
			b.ReportAllocs()
			b.ResetTimer()
			start := time.Now()
			sum, err := ingest.Run(context.Background(), db, &body, ingest.Options{Library: lib, Mode: mode}, nil)
			if err != nil || !sum.Complete || sum.Lines != uint64(b.N) {
				b.Fatal(sum, err)
			}
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "docs/s")
		})
	}
}
