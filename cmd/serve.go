package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // served on --pprof only
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/embed/openai"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

// serveFlags are the settings of serve.
type serveFlags struct {
	data, listen    string
	segmentSize     int64
	recoveryTarget  time.Duration
	retention       retentionFlags
	diskReserve     uint64
	maxLine         int
	maxBody         int64
	receiptSpool    int64
	cors            []string
	maxStreams      int
	maxUploads      int
	maxConns        int
	shutdownTimeout time.Duration
	pprof           string
	logLevel        string
	cacheBytes      int64
	endWithStdin    bool
	embeddingHosts  []string
	embeddingLocal  bool
}

const (
	defaultData   = "./arrwdb-data"
	defaultListen = "127.0.0.1:8080"
)

func (a *app) serveCommand() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{Use: "serve", Short: "Run the server", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) }}
	fl := cmd.Flags()
	fl.StringVar(&f.data, "data", defaultData, "data directory; made where there is none")
	fl.StringVar(&f.listen, "listen", defaultListen, "address to listen on; port 0 takes a free one")
	f.retention.register(fl)
	fl.Uint64Var(&f.diskReserve, "disk-reserve", 0, "bytes of the disk that are left free: writes are refused with disk_full where there is less (default 256 MiB, or an eighth of a smaller disk)")
	fl.DurationVar(&f.recoveryTarget, "recovery-target", engine.DefaultRecoveryTarget, "how long a restart may replay the log, by estimate: more makes a checkpoint due")
	fl.Int64Var(&f.segmentSize, "log-segment-size", 64<<20, "bytes of a segment of the change log")
	fl.IntVar(&f.maxLine, "max-line-bytes", httpd.DefaultMaxLineBytes, "longest line of an NDJSON upload")
	fl.Int64Var(&f.maxBody, "max-body-bytes", httpd.DefaultMaxBodyBytes, "largest body of a request that is not a stream")
	fl.Int64Var(&f.receiptSpool, "receipt-spool", httpd.DefaultReceiptSpool, "bytes of unread receipts of one upload kept in a file")
	fl.StringSliceVar(&f.cors, "cors-origin", nil, "origins besides the server's own whose pages may call it")
	fl.IntVar(&f.maxStreams, "max-streams", httpd.DefaultMaxStreams, "live streams open at once")
	fl.IntVar(&f.maxUploads, "max-uploads", httpd.DefaultMaxUploads, "NDJSON uploads going on at once")
	fl.IntVar(&f.maxConns, "max-conns", httpd.DefaultMaxConns, "connections open at once")
	fl.StringSliceVar(&f.embeddingHosts, "embedding-host", nil, "hosts (or host:port) whose embedding services libraries may use; none by default")
	fl.BoolVar(&f.embeddingLocal, "embedding-private", false, "embedding services may lie on loopback, private and link-local addresses")
	fl.DurationVar(&f.shutdownTimeout, "shutdown-timeout", 4*time.Second, "how long open requests may take at shutdown")
	fl.StringVar(&f.pprof, "pprof", "", "address for Go's profiles, for example 127.0.0.1:6060")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.Int64Var(&f.cacheBytes, "cache-bytes", engine.DefaultCacheBytes, "bytes of the store's block cache")
	fl.BoolVar(&f.endWithStdin, "end-with-stdin", false, "end in good order when standard input ends: for a program that runs a server of its own")
	return cmd
}

// check refuses limits that allow nothing.
func (f *serveFlags) check() error {
	for _, l := range []struct {
		flag string
		n    int64
	}{
		{"log-segment-size", f.segmentSize}, {"max-line-bytes", int64(f.maxLine)}, {"max-body-bytes", f.maxBody}, {"receipt-spool", f.receiptSpool},
		{"max-streams", int64(f.maxStreams)}, {"max-uploads", int64(f.maxUploads)}, {"max-conns", int64(f.maxConns)}, {"cache-bytes", f.cacheBytes},
		{"shutdown-timeout", int64(f.shutdownTimeout)}, {"recovery-target", int64(f.recoveryTarget)},
	} {
		if l.n < 1 {
			return usagef("--%s must be above 0", l.flag)
		}
	}
	return f.retention.check()
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return usagef("--log-level %q is not debug, info, warn or error", f.logLevel)
	}
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
	if f.endWithStdin {
		ctx = a.untilStdinEnds(ctx)
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return usagef("--listen %q is not HOST:PORT: %v", f.listen, err)
	}
	ln, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	spool := filepath.Join(f.data, "spool")
	s := httpd.New(httpd.Options{Version: Version, Logger: logger, MaxBodyBytes: f.maxBody, MaxLineBytes: f.maxLine, ReceiptSpool: f.receiptSpool,
		SpoolDir: spool, CORSOrigins: f.cors, MaxStreams: f.maxStreams,
		MaxUploads: f.maxUploads, MaxConns: f.maxConns})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	service := openai.NewClient(openai.ClientOptions{AllowedHosts: f.embeddingHosts, AllowPrivate: f.embeddingLocal})
	defer service.Close()
	db, err := a.openServed(ctx, f, engine.Options{Create: true, OpenAI: service, SegmentSize: f.segmentSize, RecoveryTarget: f.recoveryTarget, Retention: f.retention.policy(), DiskReserve: f.diskReserve, Logger: logger, CacheBytes: f.cacheBytes,
		Progress: func(p engine.RecoveryProgress) {
			s.SetProgress(p)
			logger.Info("recovering", "commit", p.Commit, "of", p.Target, "records", p.Records, "per_second", int(p.Rate()), "left", p.Left().Round(10*time.Millisecond))
		}})
	if err != nil || db == nil {
		return err
	}
	if err := a.prepare(ctx, db, f, host, spool); err != nil {
		return errors.Join(err, db.Close())
	}
	if f.pprof != "" {
		go func() { logger.Error("pprof", "err", http.ListenAndServe(f.pprof, nil)) }()
	}
	s.SetDB(db)
	fmt.Fprintf(a.err, "arrwdb %s listening on http://%s, data in %s\n", Version, ln.Addr(), f.data)
	select {
	case <-ctx.Done():
	case err := <-served:
		return errors.Join(err, db.Close())
	}
	stop, cancel := context.WithTimeout(context.Background(), f.shutdownTimeout)
	defer cancel()
	err = s.Shutdown(stop)
	return errors.Join(err, db.Close())
}

// openServed opens the database. Where the server is told to end meanwhile and
// recovery takes longer than the user should wait, it returns nil, nil: to end in
// the middle of a recovery is to crash there, which costs nothing but the time.
func (a *app) openServed(ctx context.Context, f *serveFlags, o engine.Options) (*engine.DB, error) {
	type opened struct {
		db  *engine.DB
		err error
	}
	done := make(chan opened, 1)
	go func() {
		db, err := engine.Open(f.data, o)
		done <- opened{db, err}
	}()
	select {
	case r := <-done:
		return r.db, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.db, r.err
	case <-time.After(f.shutdownTimeout):
		a.message("ended in the middle of recovery; the next start begins it anew")
		return nil, nil
	}
}

// untilStdinEnds returns a context that also ends with standard input, as it does
// when the process at its other end is gone, however that ended.
func (a *app) untilStdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, a.in)
		cancel()
	}()
	return ctx
}

// prepare takes over the first key and refuses to serve strangers without one.
func (a *app) prepare(ctx context.Context, db *engine.DB, f *serveFlags, host, spool string) error {
	// What receipts an earlier run left behind belongs to nobody.
	if err := errors.Join(os.RemoveAll(spool), os.MkdirAll(spool, 0o700)); err != nil {
		return err
	}
	if name := os.Getenv("ARRWDB_ADMIN_KEY_FILE"); name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			return usageError{err}
		}
		if _, err := db.AdoptKey(ctx, engine.KeySpec{Name: "admin key file", Role: engine.RoleAdmin}, strings.TrimSpace(string(b))); err != nil {
			return fmt.Errorf("ARRWDB_ADMIN_KEY_FILE: %w", err)
		}
	}
	if !db.HasKeys() && !loopback(host) {
		return usagef("without any key configured the server listens on loopback addresses only, not on %q: make a key with `arrwdb keys create --role admin --data %s` first", f.listen, f.data)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
