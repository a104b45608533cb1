// Package cdc is the feed: one cursor, over which SSE, pull, NDJSON and
// WebSocket all read the changes of the log.
//
// A [Cursor] is a place in the log and a [Query]; it is the only thing in the
// program that holds a reader's position. It has no goroutine and no queue, so a
// slow reader costs nothing: what it has not read yet is in the log. Readers near
// the head share the ring of a [Hub], which holds recent frames with their events
// already encoded; a reader that falls behind reads the log itself and comes
// back to the ring when it has caught up.
//
// A reader's loop is: [Cursor.AppendBatch] until it says Caught, write, and then
// [Cursor.Wait] or [Cursor.Changed]. A notification only ever says "look again".
//
// DESIGN.md beside this file numbers the guarantees that the tests check.
package cdc
