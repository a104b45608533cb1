package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// A stanza is one paragraph of a Debian control file, by its fields' names as they
// are written. A value is the field's first line and, each behind a line feed, its
// continuation lines without the one space that makes them such.
type stanza map[string]string

// maxControlLine bounds a line of a control file. The longest of Debian's, lists of
// dependencies, have about 100 KB.
const maxControlLine = 4 << 20

// eachStanza calls fn with each paragraph of r (deb822(5)), in order.
func eachStanza(r io.Reader, fn func(stanza) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxControlLine)
	s, field, n := stanza{}, "", 0
	for lines.Scan() {
		n++
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "":
			if err := s.give(fn); err != nil {
				return err
			}
			s, field = stanza{}, ""
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if field == "" {
				return fmt.Errorf("line %d: a continuation line stands before any field: %.60q", n, line)
			}
			s[field] += "\n" + strings.TrimRight(line[1:], " \t")
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return fmt.Errorf("line %d: %.60q is not \"Field: value\"", n, line)
			}
			field = name
			s[field] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("behind line %d: %w", n, err)
	}
	return s.give(fn)
}

// give hands the stanza on, unless nothing is in it: blank lines may follow each
// other.
func (s stanza) give(fn func(stanza) error) error {
	if len(s) == 0 {
		return nil
	}
	return fn(s)
}

// splitDescription takes a description field apart: its first line, the synopsis,
// and the text below, in which a line of one dot stands for an empty one.
func splitDescription(value string) (synopsis, long string) {
	synopsis, rest, _ := strings.Cut(value, "\n")
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if strings.TrimSpace(line) == "." {
			line = "\n"
		}
		b.WriteString(line)
	}
	return synopsis, strings.TrimSpace(b.String())
}

// parseTags lists the tags of a Tag field. Commas separate them; what is in braces
// are alternatives of one beginning: "role::{app-data,program}" is two tags, and a
// tag may do without "::".
func parseTags(value string) []string {
	var tags []string
	for value != "" {
		end := strings.IndexByte(value, ',')
		open := strings.IndexByte(value, '{')
		if open >= 0 && (end < 0 || open < end) {
			head := strings.TrimSpace(value[:open])
			inside, rest, _ := strings.Cut(value[open+1:], "}")
			for tail := range strings.SplitSeq(inside, ",") {
				if tail = strings.TrimSpace(tail); tail != "" {
					tags = append(tags, head+tail)
				}
			}
			_, value, _ = strings.Cut(rest, ",")
			continue
		}
		tag, rest, _ := strings.Cut(value, ",")
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
		value = rest
	}
	return tags
}

// tagWords is a tag's own words, for one that no vocabulary describes:
// "implemented-in::lisp" is "implemented in lisp".
func tagWords(tag string) string {
	return strings.Join(strings.FieldsFunc(tag, func(r rune) bool { return r == ':' || r == '-' || r == '_' }), " ")
}

// parseVocabulary reads the synopses of tags from a vocabulary of debtags.
func parseVocabulary(r io.Reader) (map[string]string, error) {
	names := map[string]string{}
	err := eachStanza(r, func(s stanza) error {
		if tag := s["Tag"]; tag != "" {
			names[tag], _ = splitDescription(s["Description"])
		}
		return nil
	})
	return names, err
}
