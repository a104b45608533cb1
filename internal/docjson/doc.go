// Package docjson reads and writes documents as JSON, in the one shape that
// ingest, REST, the feed and export share.
//
// It stands apart from encoding/json because this is the hot path of ingest and
// of the feed: most bytes that the server handles are the text and the vectors
// of documents. DESIGN.md beside this file says what is accepted, what is
// refused, why numbers come out exact, and what was measured.
//
// Every error of this package is a *change.Error that names the field or the
// byte, and says what would be right.
package docjson
