package httpd

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// Defaults of Options.
const (
	DefaultMaxBodyBytes = 32 << 20
	DefaultMaxLineBytes = 16 << 20
	DefaultReceiptSpool = 1 << 30
	DefaultMaxStreams   = 10_000
	// DefaultMaxUploads: each holds up to three batches of 4 MiB and what is parsed
	// of them.
	DefaultMaxUploads  = 256
	DefaultMaxConns    = 100_000
	DefaultIdleTimeout = 2 * time.Minute

	// writeTimeout ends a connection that accepts nothing for so long (API,
	// section 7); readTimeout one that sends nothing of a request it has begun.
	writeTimeout = 30 * time.Second
	readTimeout  = 60 * time.Second

	// endTimeout is how long a stream that is to end may take over its last write.
	endTimeout = time.Second

	// cutGrace is how long Shutdown waits for what it has cut off.
	cutGrace = 500 * time.Millisecond
)

// Options configures New. The zero value of a field means its default.
type Options struct {
	Version      string // of the program
	Logger       *slog.Logger
	MaxBodyBytes int64 // of a request that is not a stream
	MaxLineBytes int   // of a line of an NDJSON upload
	ReceiptSpool int64 // bytes of unread receipts of one upload that are kept in a file
	SpoolDir     string
	CORSOrigins  []string // origins besides the server's own that may call it
	MaxStreams   int      // live streams and exports open at once
	MaxUploads   int      // NDJSON uploads going on at once
	MaxConns     int      // connections open at once
	// Now is the clock for keys and times. Default: time.Now.
	Now func() time.Time
}

// A Server serves one database. It can be created before the database is open:
// until SetDB, /livez and /readyz answer, everything else is 503.
type Server struct {
	o     Options
	table *table
	http  *fasthttp.Server
	ready atomic.Pointer[serving]

	progress atomic.Pointer[engine.RecoveryProgress]
	started  time.Time

	stopping atomic.Bool
	shutdown sync.Once
	// stop ends when the server begins to shut down, with errStopping; writes
	// that are on their way go on until cut ends, when the time for that is up.
	stop context.Context
	halt context.CancelCauseFunc
	cut  context.Context
	drop context.CancelFunc

	open    *registry
	running onceKeys
	ids     ids
	metric  *metrics
}

// serving is what there is once the database is open.
type serving struct {
	db  *engine.DB
	hub *cdc.Hub
}

// New returns a server that has no database yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = DefaultMaxLineBytes
	}
	if o.ReceiptSpool == 0 {
		o.ReceiptSpool = DefaultReceiptSpool
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.MaxUploads == 0 {
		o.MaxUploads = DefaultMaxUploads
	}
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, table: newTable(routes()), started: time.Now()}
	s.stop, s.halt = context.WithCancelCause(context.Background())
	s.cut, s.drop = context.WithCancel(context.Background())
	s.open = newRegistry()
	s.ids.run = strconv.FormatUint(rand.Uint64(), 36)
	s.metric = newMetrics(s)
	s.http = &fasthttp.Server{
		Handler: s.serve, Name: "", NoDefaultServerHeader: true, NoDefaultContentType: true,
		StreamRequestBody: true, DisablePreParseMultipartForm: true,
		// Bodies are counted by those who read them: with StreamRequestBody this
		// only says for how much of a body fasthttp waits before the handler runs.
		// A client that is to be refused should not have to send more.
		MaxRequestBodySize: 1, ExpectHandler: s.expect, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		IdleTimeout: DefaultIdleTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		Concurrency: o.MaxConns, CloseOnShutdown: true, TCPKeepalive: true,
		Logger: quietLogger{o.Logger}, ErrorHandler: s.badRequest,
	}
	return s
}

// SetProgress tells /readyz how far recovery has gone.
func (s *Server) SetProgress(p engine.RecoveryProgress) { s.progress.Store(&p) }

// SetDB makes the server ready.
func (s *Server) SetDB(db *engine.DB) {
	s.ready.Store(&serving{db: db, hub: cdc.NewHub(feedLog{db}, cdc.Options{})})
	go s.watchKeys(db)
}

// Serve accepts connections until Shutdown. It returns nil after that.
func (s *Server) Serve(ln net.Listener) error { return s.http.Serve(listener{ln}) }

// Shutdown ends the server: new requests are refused, uploads end after the last
// line that was taken, streams are closed with what clients need to resume, and
// what is left is cut off when ctx ends. It may be called twice, and before Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.shutdown.Do(func() { err = s.shutDown(ctx) })
	return err
}

func (s *Server) shutDown(ctx context.Context) error {
	s.stopping.Store(true)
	s.halt(errStopping)
	defer s.drop()
	if !s.open.drain(ctx) {
		s.drop()
		s.open.cutAll()
		// What was cut off ends by itself now.
		late, cancel := context.WithTimeout(context.Background(), cutGrace)
		defer cancel()
		s.open.drain(late)
		ctx = late
	}
	err := s.http.ShutdownWithContext(ctx)
	if !s.open.drain(ctx) { // what began in the last moment
		s.open.cutAll()
	}
	if r := s.ready.Load(); r != nil {
		r.hub.Close()
	}
	if ctx.Err() != nil {
		return nil // what would not end was cut off; that is no failure
	}
	return err
}

// keyCheckEvery is how often open streams are held against the keys. A revoked
// key's streams end within 5 s (API, section 10).
const keyCheckEvery = time.Second

func (s *Server) watchKeys(db *engine.DB) {
	t := time.NewTicker(keyCheckEvery)
	defer t.Stop()
	for {
		select {
		case <-s.stop.Done():
			return
		case <-t.C:
			now := s.o.Now()
			s.open.endRevoked(now, func(id string) bool {
				if id == "" { // opened before there were keys
					return !db.HasKeys()
				}
				return db.KeyValid(id, now)
			})
		}
	}
}

// badRequest answers what fasthttp could not parse.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	c := &call{s: s, ctx: ctx}
	e := change.Errorf(change.InvalidArgument, "the request is not well-formed HTTP")
	e.Err = err
	switch err.(type) {
	case *fasthttp.ErrSmallBuffer:
		e = change.Errorf(change.TooLarge, "the request line and headers are larger than the limit").With("limit", 16<<10)
	}
	ctx.SetConnectionClose()
	c.problem(e)
}

// quietLogger keeps fasthttp's own notes, which are about single connections, at
// debug level.
type quietLogger struct{ log *slog.Logger }

func (l quietLogger) Printf(format string, args ...any) {
	l.log.Debug("http", "note", fmt.Sprintf(format, args...))
}
