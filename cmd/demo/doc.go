// Package demo is the tour behind "arrwdb demo": a server of its own, real
// documents, the feed, and a kill -9 in the middle of an upload, after which
// upload and feed go on where they were. What the tour claims it checks, and it
// fails where a check does.
package demo
