package change

import "fmt"

// A Kind says what a record is. Kinds below 0x80 are changes: each takes one
// sequence number and is exactly one event. Kinds from 0x80 on are control
// records: durable and ordered in the log, without a sequence number. The
// numbers are frozen.
type Kind uint8

const (
	LibraryCreated Kind = 0x01
	LibraryUpdated Kind = 0x02
	LibraryDeleted Kind = 0x03

	DocumentAdded   Kind = 0x08
	DocumentUpdated Kind = 0x09 // replaced whole
	DocumentPatched Kind = 0x0a // title and metadata merged; the chunks stay
	DocumentDeleted Kind = 0x0b
	ChunkAdded      Kind = 0x0c
	ChunkDeleted    Kind = 0x0d

	IndexRebuilt   Kind = 0x10
	IndexOptimized Kind = 0x11

	BatchStarted   Kind = 0x18
	BatchCompleted Kind = 0x19
	BatchFailed    Kind = 0x1a

	JobSubmitted Kind = 0x20
	JobStarted   Kind = 0x21
	JobProgress  Kind = 0x22
	JobRetrying  Kind = 0x23
	JobCompleted Kind = 0x24
	JobFailed    Kind = 0x25
	JobCancelled Kind = 0x26

	ControlSource         Kind = 0x80 // how far an upload source has been taken
	ControlSourceDeleted  Kind = 0x81
	ControlKey            Kind = 0x82 // an API key was created or changed
	ControlKeyRevoked     Kind = 0x83
	ControlIdempotency    Kind = 0x84 // the remembered answer to a request
	ControlConsumer       Kind = 0x85 // a durable consumer's settings or position
	ControlConsumerGone   Kind = 0x86
	ControlJobCheckpoint  Kind = 0x87
	ControlSchedule       Kind = 0x88
	ControlScheduleGone   Kind = 0x89
	ControlEmbedding      Kind = 0x8a // vectors of an embedding generation being built
	ControlWebhook        Kind = 0x8b
	ControlWebhookDeleted Kind = 0x8c
)

// IsControl reports whether records of this kind take no sequence number.
func (k Kind) IsControl() bool { return k >= 0x80 }

// eventTypes is the one table of event names (API, section 7).
var eventTypes = map[Kind]string{
	LibraryCreated: "library.created", LibraryUpdated: "library.updated", LibraryDeleted: "library.deleted",
	DocumentAdded: "document.added", DocumentUpdated: "document.updated", DocumentPatched: "document.updated",
	DocumentDeleted: "document.deleted", ChunkAdded: "chunk.added", ChunkDeleted: "chunk.deleted",
	IndexRebuilt: "index.rebuilt", IndexOptimized: "index.optimized",
	BatchStarted: "batch.started", BatchCompleted: "batch.completed", BatchFailed: "batch.failed",
	JobSubmitted: "job.submitted", JobStarted: "job.started", JobProgress: "job.progress",
	JobRetrying: "job.retrying", JobCompleted: "job.completed", JobFailed: "job.failed", JobCancelled: "job.cancelled",
}

var controlNames = map[Kind]string{
	ControlSource: "source", ControlSourceDeleted: "source-deleted", ControlKey: "key", ControlKeyRevoked: "key-revoked",
	ControlIdempotency: "idempotency", ControlConsumer: "consumer", ControlConsumerGone: "consumer-gone",
	ControlJobCheckpoint: "job-checkpoint", ControlSchedule: "schedule", ControlScheduleGone: "schedule-gone",
	ControlEmbedding: "embedding", ControlWebhook: "webhook", ControlWebhookDeleted: "webhook-deleted",
}

// EventType returns the name under which the feed shows changes of this kind,
// or "" for control records and unknown kinds.
func (k Kind) EventType() string { return eventTypes[k] }

// EventTypes returns every event name once, in the order of their kinds.
func EventTypes() []string {
	var out []string
	for k := Kind(0); k < 0x80; k++ {
		if n := eventTypes[k]; n != "" && k != DocumentPatched {
			out = append(out, n)
		}
	}
	return out
}

// String names the kind for people: the event type, or "control:<name>".
func (k Kind) String() string {
	if n, ok := eventTypes[k]; ok {
		if k == DocumentPatched {
			return n + "(patch)"
		}
		return n
	}
	if n, ok := controlNames[k]; ok {
		return "control:" + n
	}
	return fmt.Sprintf("kind(%#02x)", uint8(k))
}

// Known reports whether this version of the program knows the kind.
func (k Kind) Known() bool {
	_, ev := eventTypes[k]
	_, ctl := controlNames[k]
	return ev || ctl
}

// Flags of a record. The numbers are frozen.
type Flags uint8

const (
	// GroupFirst and GroupLast mark the ends of an atomic group; a record that
	// is a group by itself carries both. A group lies within one frame.
	GroupFirst Flags = 1 << 0
	GroupLast  Flags = 1 << 1
)

// A Record is one entry of the log.
//
// Invariant: a record that was handed to the log is not modified any more, and
// neither are its bytes.
type Record struct {
	Kind  Kind
	Flags Flags
	// Library is the small integer of the library that the record belongs to, 0
	// where it belongs to none. Numbers are never reused.
	Library uint32
	// Body is the encoded body without the vectors; the log may compress it.
	Body []byte
	// Raw holds the vectors of the body as little-endian float32, one after the
	// other in the order in which Body describes them; never compressed.
	Raw []byte
	// Seq is the change's sequence number, 0 for control records. It is not
	// stored: the frame's first seq and the order of the records give it.
	Seq uint64
	// Ahead is what whoever made the record has worked out of it for a view, and what
	// that view works out itself where it is nil, as it is in every record that was
	// read. It is not stored.
	Ahead any
}

// Size returns about how many bytes the record takes in the log, uncompressed.
func (r *Record) Size() int { return len(r.Body) + len(r.Raw) + 16 }

// A Stamp says how far a view has gone in the log: it contains every change up
// to and including Seq, and every record, control records too, of the commits
// up to and including Commit. A commit is one frame of the log; commits are
// numbered from 1 without gaps and keep their number when recovery moves a
// frame to another segment.
//
// Of two stamps of one history, the one with the higher Commit never has the
// lower Seq.
type Stamp struct {
	Seq    uint64
	Commit uint64
}

// Less reports whether s is before t.
func (s Stamp) Less(t Stamp) bool { return s.Commit < t.Commit }

func (s Stamp) String() string { return fmt.Sprintf("seq %d, commit %d", s.Seq, s.Commit) }
