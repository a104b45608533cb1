package engine

import (
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// OpKind says what an Op does.
type OpKind uint8

const (
	OpPut         OpKind = iota + 1 // create or replace a document, by Mode
	OpPatch                         // JSON merge patch of title and metadata
	OpDelete                        // delete a document
	OpAddChunks                     // add chunks to a document; one change for each
	OpDeleteChunk                   // delete a chunk of a document
)

// PutMode says what a put does where the document exists, or does not.
type PutMode uint8

const (
	Upsert PutMode = iota // create or replace
	Insert                // an existing document is AlreadyExists
	Skip                  // an existing document is passed over
)

// An Op is one write to a library's documents.
type Op struct {
	Kind    OpKind
	Library string
	ID      string // the document
	Mode    PutMode

	// Doc is the document of a put, or holds the chunks of OpAddChunks. An empty
	// Doc.ID in a put is generated. The caller leaves its bytes unchanged until
	// the group is done.
	Doc *docjson.Document

	// Patch of OpPatch: a nil Title leaves the title; Metadata is a JSON merge
	// patch (RFC 7396), nil leaves the metadata.
	Patch *Patch

	Chunk string // of OpDeleteChunk

	// IfMatch, when set, is the seq that the document must have.
	IfMatch *uint64

	prep prepared // what the caller's goroutine worked out ahead
}

// A Patch changes a document's title and metadata.
type Patch struct {
	Title    *string
	Metadata []byte // a JSON object or "null"
}

// A Group is a set of writes that is committed as one atomic group: all its
// changes and control records become visible at once, or none.
type Group struct {
	Ops []Op
	// Atomic fails the whole group with the first Op that fails (Extra
	// "operation" names it). Otherwise an Op that fails is left out, its Outcome
	// says why, and the others are committed.
	Atomic bool
	// Source, when set, moves the position of an upload source with the group.
	Source *SourceMove
	// Once, when set, makes the group take effect once for its key.
	Once *Once

	control []controlOp // other control records, from this package's own calls
	lib     *libraryOp
}

// A SourceMove records that the physical lines From+1…To of an upload source
// have been taken. The group fails with Conflict where the source does not
// stand at From.
type SourceMove struct {
	Library  string
	Name     string
	From, To uint64
}

// Once makes a request idempotent for 24 hours of log time.
type Once struct {
	Key         []byte // hash of the caller and of the header's value
	Fingerprint []byte // hash of the request; another one under the same key is Conflict
	// Render makes the answer that is remembered, in the sequencer, once the
	// outcomes are known. It must be quick and must not call the engine. It is
	// not called where the group fails.
	Render func([]Outcome) (status int, body []byte)
}

// Result says what became of an Op.
type Result uint8

const (
	Failed  Result = iota
	Added          // the document (or chunk) is new
	Updated        // the document was replaced or patched
	Deleted
	Skipped // it exists, and the mode was Skip
)

// String returns the word that receipts use.
func (r Result) String() string {
	return [...]string{"failed", "added", "updated", "deleted", "skipped"}[r]
}

// An Outcome says what became of an Op.
type Outcome struct {
	Result    Result
	Err       *change.Error // set where Result is Failed
	ID        string        // the document's id, generated or given
	Seq       uint64        // the (last) change, or of a skipped document the seq that it has
	CreatedAt int64         // µs since 1970 UTC
	UpdatedAt int64
	NumChunks int
	Title     string // after the change
	Metadata  []byte // after the change
	// Library is set where the group made or changed a library.
	Library *Library
}

// A Receipt is the answer to a committed group. It is only given once the group
// is durable and visible.
type Receipt struct {
	Outcomes []Outcome
	FirstSeq uint64 // 0 where the group made no change
	LastSeq  uint64
	// Position is the place in the feed after the group (of one without changes:
	// the head that it saw).
	Position change.Position
	// Replayed is set where Once found a remembered answer: nothing was written.
	Replayed *change.Idempotency
}
