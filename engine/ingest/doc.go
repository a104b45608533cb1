// Package ingest takes documents into a library from NDJSON, one document a
// line. The HTTP server, the command line and jobs share it; it knows no HTTP.
//
// # Lines
//
// Lines end in LF or CRLF. A blank line is a line, and nothing else. The last
// line may lack its newline, if the body ended cleanly (io.EOF); any other error
// of the body drops the unfinished line, keeps the whole ones, and leaves the
// upload incomplete. Numbers of lines are physical ones, counted from
// Options.FirstLine.
//
// # Batches
//
// Lines are committed in batches that close at 4,096 lines, 4 MiB or 10 ms
// without a further line. Up to two batches are on their way while the next
// one is parsed. They commit in order, and each is durable and visible before
// the sink hears of it. Run waits for every batch that it has submitted, also
// where the context ends, so that a summary never guesses.
//
// A batch is normally one group. One that takes more than a group may hold,
// because the documents that it replaces have large metadata, is split. An
// upload without source may then have committed a later batch before.
//
// # Faults
//
// A fault of a line (bad JSON, wrong dimension, an id that exists) is told and
// counted. With Options.Abort the first one ends the upload: what lies before it
// is committed, nothing after it.
//
// What may pass by itself (a full disk, shutdown, a failed log) ends the upload,
// whatever Abort says; so do the end of the context, a library that is deleted
// and a source that is reset meanwhile. Summary.Problem says why, and
// Summary.Lines how far it is safe to say that everything has been taken.
//
// # Sources
//
// With Options.Source each group also records how many physical lines of that
// source have been taken, blank, failed and skipped ones too, of an aborted
// upload all before the bad line. An upload of the same source passes over what
// has been taken, without parsing it. One upload of a source runs at a time.
//
// # Memory
//
// It does not depend on the length of the body: at most three batches exist at a
// time, with the line that is being read. A batch holds no line, only the texts
// and vectors that were parsed out of it, and its memory is used again as soon as
// its group is done.
package ingest
