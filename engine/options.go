package engine

import (
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/embed/openai"
)

// Defaults of Options.
const (
	DefaultCacheBytes         = 256 << 20
	DefaultMemTableBytes      = 24 << 20
	DefaultCheckpointBytes    = 256 << 20
	DefaultCheckpointInterval = 60 * time.Second
	DefaultRecoveryTarget     = time.Second
)

// Options configures Open. The zero value of a field means its default.
type Options struct {
	// FS is where the directory lies. Default: the operating system's.
	FS vfs.FS
	// Create makes a database where the directory holds none; without it that is
	// ErrNoDatabase.
	Create bool
	// SegmentSize of the log, bytes. Default 64 MiB.
	SegmentSize int64
	// CacheBytes is the store's block cache. Default 256 MiB.
	CacheBytes int64
	// MemTableBytes is the size of the store's memtables, two of which may be in
	// memory. Default 24 MiB: that much, and what the flush before it still holds, is
	// by what any upload makes an idle server grow.
	MemTableBytes uint64
	// RowBlockBytes and RowBlocksPerFile size the row files. Default 64 KiB and
	// 1,024; only tests set them. They are fixed when the database is made.
	RowBlockBytes    int
	RowBlocksPerFile int
	// OpenAI calls the embedding services of libraries with the provider "openai".
	// Default: one that may call no host.
	OpenAI *openai.Client
	// TailSlots is how many slots a part of a search index gathers before it is
	// built. Default: index/search's own; only tests set it.
	TailSlots int
	// RecoveryTarget is how long a restart may replay, by estimate: more makes a
	// checkpoint due. So do CheckpointBytes of log since the last one, and
	// CheckpointInterval with any commit since. Default 1 s, 256 MiB and 60 s; a
	// negative interval turns all off, so that only Checkpoint and Close make one.
	RecoveryTarget     time.Duration
	CheckpointBytes    int64
	CheckpointInterval time.Duration
	// DiskReserve is how much of the disk is left free, bytes: writes are refused with
	// DiskFull where there is less. Default: 256 MiB, or an eighth of a smaller disk.
	DiskReserve uint64
	// Retention says what of the log is trimmed, after each checkpoint and now and then.
	Retention Retention
	// MarkDelay is how long after the last commit the log commits to what is
	// durable. Default: the log's own.
	MarkDelay time.Duration
	// Now is the clock, Rand the source of ids and epochs. Default: the real ones.
	Now  func() time.Time
	Rand io.Reader
	// Logger receives what an operator should know. Default: slog.Default.
	Logger *slog.Logger
	// Progress, when set, is told how the replay at start goes, now and then.
	Progress func(RecoveryProgress)
}

// RecoveryProgress says how far the replay at start has gone.
type RecoveryProgress struct {
	From, Commit, Target uint64 // commits: where it began, has come to, and goes to
	Records              uint64 // replayed so far
	Elapsed              time.Duration
}

// Rate returns how many records were replayed a second, so far.
func (p RecoveryProgress) Rate() float64 { return float64(p.Records) / p.Elapsed.Seconds() }

// Left estimates how long the rest takes.
func (p RecoveryProgress) Left() time.Duration {
	if p.Commit == p.From {
		return 0
	}
	return time.Duration(float64(p.Elapsed) * float64(p.Target-p.Commit) / float64(p.Commit-p.From))
}

// Recovery says what the last start found and did.
type Recovery struct {
	Took     time.Duration `json:"-"`
	TookMS   float64       `json:"took_ms"`
	ReplayMS float64       `json:"replay_ms"` // of it
	Commits  uint64        `json:"commits_replayed"`
	Records  uint64        `json:"records_replayed"`
	Clean    bool          `json:"clean"`
	TornFile string        `json:"torn_file"`
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.RecoveryTarget == 0 {
		o.RecoveryTarget = DefaultRecoveryTarget
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = DefaultCheckpointBytes
	}
	if o.CheckpointInterval == 0 {
		o.CheckpointInterval = DefaultCheckpointInterval
	}
	o.Retention = o.Retention.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OpenAI == nil {
		o.OpenAI = openai.NewClient(openai.ClientOptions{})
	}
	return o
}
