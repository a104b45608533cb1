package cdc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/arrwdb/arrwdb/change"
)

// A Matcher is a metadata filter. doc and chunk are JSON objects, nil where
// empty; the chunk's members overlay the document's. It may be used by many
// goroutines.
type Matcher interface {
	Match(doc, chunk []byte) bool
}

// Include says how much of a document an event holds.
type Include uint8

const (
	IncludeDocument   Include = iota // texts and metadata; the default
	IncludeNone                      // ids, titles and counts
	IncludeEmbeddings                // the vectors too

	includeLevels = 3
)

// FromKind says how Query.From is meant.
type FromKind uint8

const (
	FromNow   FromKind = iota // what comes after the head; the default
	FromStart                 // the oldest change in the log
	FromSeq                   // From.Seq
)

// From is where a reader wants to begin.
type From struct {
	Kind FromKind
	Seq  uint64 // the first seq wanted, with FromSeq; 0 is 1
}

// A Query says which events a reader wants. The zero Query is every event from
// now on.
type Query struct {
	From From
	// After wins over From: the reader has everything up to this position.
	After *change.Position
	// Types passes the kinds of its events; the zero value passes all.
	Types TypeSet
	// Libraries passes events of these libraries; none passes all. They need not
	// exist.
	Libraries []string
	// Filter passes document events whose metadata match before or after the
	// change; see DESIGN.md. Events without documents do not pass.
	Filter  Matcher
	Include Include
	// Allow passes events of the libraries that the caller may see; nil passes
	// all. An event that belongs to no library is asked for as "". It is asked
	// for every event, so that a changed key counts at once, and must be quick.
	Allow func(libraryID string) bool
}

// A TypeSet is a set of event types; the zero value holds all.
type TypeSet struct {
	some bool
	bits [2]uint64 // by kind; kinds of changes are below 0x80
}

// Has reports whether events of this kind are in the set.
func (s *TypeSet) Has(k change.Kind) bool {
	return !s.some || k < 0x80 && s.bits[k>>6]>>(k&63)&1 == 1
}

// ParseTypes reads patterns: an event type, a family such as "document.*", or
// "*". No pattern at all is every type. The error names field.
func ParseTypes(field string, patterns []string) (TypeSet, *change.Error) {
	var s TypeSet
	for _, p := range patterns {
		found := false
		for k := change.Kind(0); k < 0x80; k++ {
			t := k.EventType()
			if t == "" {
				continue
			}
			family, _, _ := strings.Cut(t, ".")
			if p == "*" || p == t || p == family+".*" {
				s.bits[k>>6] |= 1 << (k & 63)
				found = true
			}
		}
		if !found {
			return s, change.BadField(field, "%q is no event type: right are * and %s, and families such as document.*", p, strings.Join(change.EventTypes(), ", "))
		}
		s.some = true
	}
	return s, nil
}

// Params are the names of the query parameters that ParseQuery reads.
var Params = []string{"from", "after", "last_event_id", "types", "library", "filter", "include"}

// ParseQuery reads the query that all readers share. get returns a parameter, ""
// where it is absent; lastEventID is the header Last-Event-ID, which wins over
// the parameter of that name, which wins over after, which wins over from.
// parseFilter reads a filter.
func ParseQuery(get func(name string) string, lastEventID string, parseFilter func(string) (Matcher, error)) (*Query, *change.Error) {
	q := new(Query)
	var err *change.Error
	if q.From, err = ParseFrom("from", get("from")); err != nil {
		return nil, err
	}
	for _, p := range [][2]string{{"after", get("after")}, {"last_event_id", get("last_event_id")}, {"Last-Event-ID", lastEventID}} {
		if p[1] == "" {
			continue
		}
		pos, err := change.ParsePosition(p[1])
		if err != nil {
			return nil, change.BadField(p[0], "%s: %v", p[0], err)
		}
		q.After = &pos
	}
	if q.Types, err = ParseTypes("types", split(get("types"))); err != nil {
		return nil, err
	}
	if q.Libraries, err = ParseLibraries("library", split(get("library"))); err != nil {
		return nil, err
	}
	if q.Include, err = ParseInclude("include", get("include")); err != nil {
		return nil, err
	}
	if f := get("filter"); f != "" {
		m, err := parseFilter(f)
		if err != nil {
			if e, ok := err.(*change.Error); ok {
				return nil, e
			}
			e := change.Errorf(change.InvalidFilter, "%v", err)
			e.Field = "filter"
			return nil, e
		}
		q.Filter = m
	}
	return q, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// ParseFrom reads a seq, "start", "now" or "", which is now.
func ParseFrom(field, s string) (From, *change.Error) {
	switch s {
	case "", "now":
		return From{Kind: FromNow}, nil
	case "start":
		return From{Kind: FromStart}, nil
	}
	seq, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return From{}, change.BadField(field, "%s is %q: right are a sequence number, start and now", field, s)
	}
	return From{Kind: FromSeq, Seq: seq}, nil
}

// ParseInclude reads none, document, embeddings or "", which is document.
func ParseInclude(field, s string) (Include, *change.Error) {
	switch s {
	case "", "document":
		return IncludeDocument, nil
	case "none":
		return IncludeNone, nil
	case "embeddings":
		return IncludeEmbeddings, nil
	}
	return 0, change.BadField(field, "%s is %q: right are none, document and embeddings", field, s)
}

// maxLibraryID is the longest id of a library.
const maxLibraryID = 64

// ParseLibraries checks that each name could be a library's id.
func ParseLibraries(field string, names []string) ([]string, *change.Error) {
	for _, n := range names {
		ok := len(n) > 0 && len(n) <= maxLibraryID
		for i := 0; ok && i < len(n); i++ {
			c := n[i]
			ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || i > 0 && strings.IndexByte("._:-", c) >= 0
		}
		if !ok {
			return nil, change.BadField(field, "%q is no library id: 1 to %d lower-case letters, digits and . _ : -, the first a letter or digit", n, maxLibraryID)
		}
	}
	return names, nil
}

// wants reports whether the query passes events of a library.
func (q *Query) wants(library string) bool {
	return (len(q.Libraries) == 0 || slices.Contains(q.Libraries, library)) && (q.Allow == nil || q.Allow(library))
}

// A match says how a document event stands to a filter.
type match uint8

const (
	noMatch match = iota
	enter
	stay
	leave
	unfiltered
)

// spliced holds what is written at the end of an event's data.
var spliced = [...]string{enter: `,"match":"enter"`, stay: `,"match":"stay"`, leave: `,"match":"leave"`, unfiltered: ``}

// judge holds a document event against a filter. A document matches when its
// metadata do, alone or overlaid by those of one of the chunks that the event
// names.
func judge(m Matcher, kind change.Kind, c *change.DocumentChange) match {
	before, after := false, false
	if c.Prev != nil {
		before = m.Match(c.Prev.Metadata, nil) || matchRefs(m, c.Prev.Metadata, c.Killed) || matchRefs(m, c.Prev.Metadata, c.Touched)
	}
	if kind != change.DocumentDeleted {
		after = m.Match(c.Metadata, nil) || matchRefs(m, c.Metadata, c.Touched)
		for i := 0; !after && i < len(c.Added); i++ {
			after = c.Added[i].Metadata != nil && m.Match(c.Metadata, c.Added[i].Metadata)
		}
	}
	switch {
	case before && after:
		return stay
	case after:
		return enter
	case before:
		return leave
	}
	return noMatch
}

func matchRefs(m Matcher, doc []byte, refs []change.ChunkRef) bool {
	for i := range refs {
		if refs[i].Metadata != nil && m.Match(doc, refs[i].Metadata) {
			return true
		}
	}
	return false
}
