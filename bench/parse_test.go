package bench

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const packagesSample = `Package: 0ad
Description: Real-time strategy game
Description-md5: d943
Tag: game::strategy, interface::graphical,
 role::program

# a comment
Package: 0ad-data
Description-md5: 2658
Tag: role::{app-data,program}, junior


Package: last
Homepage: https://example.org/a:b
`

func TestStanzas(t *testing.T) {
	var got []stanza
	err := eachStanza(strings.NewReader(packagesSample), func(s stanza) error { got = append(got, s); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := []stanza{
		{"Package": "0ad", "Description": "Real-time strategy game", "Description-md5": "d943", "Tag": "game::strategy, interface::graphical,\nrole::program"},
		{"Package": "0ad-data", "Description-md5": "2658", "Tag": "role::{app-data,program}, junior"},
		{"Package": "last", "Homepage": "https://example.org/a:b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	for text, says := range map[string]string{
		" lost\n":               "line 1: a continuation line",
		"A: b\n\n lost\n":       "line 3: a continuation line",
		"Package: a\nnothing\n": `line 2: "nothing" is not "Field: value"`,
	} {
		if err := eachStanza(strings.NewReader(text), func(stanza) error { return nil }); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	full := errors.New("full")
	if err := eachStanza(strings.NewReader(packagesSample), func(stanza) error { return full }); err != full {
		t.Errorf("the caller's error became %v", err)
	}
}

func TestDescription(t *testing.T) {
	synopsis, long := splitDescription("Strategy game\n0 A.D. is a\ngame.\n.\nIt has\n list items\n.")
	if synopsis != "Strategy game" || long != "0 A.D. is a\ngame.\n\nIt has\n list items" {
		t.Errorf("%q, %q", synopsis, long)
	}
	if synopsis, long := splitDescription("Only a synopsis"); synopsis != "Only a synopsis" || long != "" {
		t.Errorf("%q, %q", synopsis, long)
	}
}

func TestTags(t *testing.T) {
	for value, want := range map[string][]string{
		"":                                   nil,
		"role::program":                      {"role::program"},
		"role::program, use::editing":        {"role::program", "use::editing"},
		"junior":                             {"junior"},
		"junior, role::program,":             {"junior", "role::program"},
		"role::{app-data,program}":           {"role::app-data", "role::program"},
		"a::b, role::{app-data, program}, c": {"a::b", "role::app-data", "role::program", "c"},
		"works-with::{audio},x11::theme":     {"works-with::audio", "x11::theme"},
		"devel::lang:{c,c++}":                {"devel::lang:c", "devel::lang:c++"},
		"role::{unclosed, other":             {"role::unclosed", "role::other"},
	} {
		if got := parseTags(value); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	for tag, want := range map[string]string{"role::program": "role program", "implemented-in::lisp": "implemented in lisp", "works-with::software:source": "works with software source", "junior": "junior"} {
		if got := tagWords(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
	names, err := parseVocabulary(strings.NewReader("Facet: accessibility\nDescription: Accessibility Support\n\nTag: accessibility::ocr\nDescription: Text Recognition (OCR)\n The translation of text images\n\nTag: role::bare\n"))
	if want := map[string]string{"accessibility::ocr": "Text Recognition (OCR)", "role::bare": ""}; err != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("%q, %v", names, err)
	}
}

const wordNetSample = `  1 This software and database is being provided to you, the LICENSEE, by  
00002325 29 v 01 respire 1 005 $ 00001740 v 0000 @ 02108395 v 0000 01 + 02 00 | undergo the biomedical and metabolic processes of respiration  
00002724 29 v 0a choke 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 take_a_breath 0 002 @ 00001740 v 0000 | breathe with difficulty; "She choked; all saw it"  
00013160 00 s 02 last(a) 0 out_of_print(p) 2 000 | not to be had | ever  
`

func TestWordNet(t *testing.T) {
	var got []synset
	if err := parseWordNet(strings.NewReader(wordNetSample), func(s synset) { got = append(got, s) }); err != nil {
		t.Fatal(err)
	}
	want := []synset{
		{"v00002325", []string{"respire"}, "undergo the biomedical and metabolic processes of respiration"},
		{"v00002724", []string{"choke", "b", "c", "d", "e", "f", "g", "h", "i", "take a breath"}, `breathe with difficulty; "She choked; all saw it"`},
		{"s00013160", []string{"last", "out of print"}, "not to be had | ever"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if d := definition(got[1].gloss); d != "breathe with difficulty" {
		t.Errorf("definition %q", d)
	}
	for line, says := range map[string]string{
		"00002325 29 v 01 respire 1 000\n":             "not a synset",
		"00002325 29 v 02 respire 1 | breathe\n":       `"02" is not the number`,
		"\n00002325 29 v zz respire 1 000 | breathe\n": "line 2:",
		"00002325 29 v 00 respire 1 000 | breathe\n":   `"00" is not the number`,
		"00002325 29 | breathe\n":                      "not a synset",
	} {
		err := parseWordNet(strings.NewReader(line), func(synset) {})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", line, err, says)
		}
	}
}
