package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fetched makes a directory as apt would have filled it: 200 packages of five
// subjects, the vocabulary of their tags, and a small WordNet.
func fetched(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	subjects := []string{"music player", "chess game", "mail server", "text editor", "weather report"}
	var packages, texts, words strings.Builder
	var vocabulary strings.Builder
	for i, subject := range subjects {
		if i > 0 { // one has to do without
			fmt.Fprintf(&vocabulary, "Tag: use::%s\nDescription: A %s\n\n", strings.ReplaceAll(subject, " ", "-"), subject)
		}
		fmt.Fprintf(&words, "%08d 00 n 02 %s 0 alias_%d 0 000 | what a %s is; \"an example\"\n", i, strings.ReplaceAll(subject, " ", "_"), i, subject)
	}
	for i := range 200 {
		subject := subjects[i%len(subjects)]
		fmt.Fprintf(&packages, "Package: p%d+\nDescription-md5: m%d\nTag: use::%s\n\n", i, i, strings.ReplaceAll(subject, " ", "-"))
		fmt.Fprintf(&texts, "Package: p%d+\nDescription-md5: m%d\nDescription-en: Number %d\n This is number %d and it is about a %s.\n .\n %s\n\n", i, i, i, i, subject, strings.Repeat("Much else is said here too. ", 3))
	}
	write(listsDone, "")
	write("lists/archive_Packages", packages.String())
	write("lists/archive_Translation-en", texts.String())
	write("unpacked/debtags/usr/share/debtags/vocabulary", vocabulary.String())
	for _, part := range []string{"adj", "adv", "noun", "verb"} {
		write("unpacked/wordnet-base/usr/share/wordnet/data."+part, "  1 the licence\n")
	}
	write("unpacked/wordnet-base/usr/share/wordnet/data.noun", words.String())
	return dir
}

func runRelevance(t *testing.T, e *Env) *Report {
	t.Helper()
	w, _ := Find("relevance")
	r, err := Run(context.Background(), w, e)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return r
}

func TestRelevance(t *testing.T) {
	data := fetched(t)
	e := quick(t, "mode=(vector|keyword)|rrf|weight=0(.2)?$")
	e.Data, e.Queries = data, 20
	r := runRelevance(t, e)
	if len(r.Sets) != 3 || len(r.Cases) != 15 || r.Weight == nil {
		t.Fatalf("%d sets, %d cases, weight %v", len(r.Sets), len(r.Cases), r.Weight)
	}
	for i, want := range []JudgedSet{
		{Name: "debtags", Documents: 200, Queries: 5, Tuning: 2, HeldOut: 3},
		{Name: "known-item", Documents: 200, Queries: 20, Tuning: 10, HeldOut: 10},
		{Name: "wordnet", Documents: 5, Queries: 10, Tuning: 5, HeldOut: 5},
	} {
		s := r.Sets[i]
		if s.Name != want.Name || s.Documents != want.Documents || s.Queries != want.Queries || s.Tuning != want.Tuning || s.HeldOut != want.HeldOut || s.Weight == nil || len(s.Weights) != 2 {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	value := func(c, m string) float64 {
		for _, one := range r.Cases {
			if one.Name == c {
				v, ok := one.Metric(m)
				if !ok {
					t.Errorf("%s has no %s: %+v", c, m, one.Metrics)
				}
				return v.Value
			}
		}
		t.Errorf("no case %s", c)
		return -1
	}
	// Each of the tags' words stand in the 40 texts of its packages and in no other.
	near(t, "debtags", value("set=debtags/mode=keyword", "nDCG@10 all"), 1)
	near(t, "debtags", value("set=debtags/mode=keyword", "recall@100 all"), 1)
	// The number in the synopsis is in one text only.
	near(t, "known item", value("set=known-item/mode=keyword", "MRR@10"), 1)
	near(t, "known item", value("set=known-item/mode=hybrid/fusion=relative/weight=0", "MRR@10 above keyword"), 0)
	// Words find the five subjects, and not the five aliases.
	near(t, "wordnet", value("set=wordnet/mode=keyword", "recall@10 all"), 0.5)
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"debtags: 200 documents, 5 queries", "mode=hybrid/fusion=rrf ", "BM25 (README)", "chosen", "best for all sets", "seed 1"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	if js, err := json.Marshal(r); err != nil || !bytes.Contains(js, []byte(`"queries_held_out":3`)) {
		t.Errorf("%v: %s", err, js)
	}
	again := runRelevance(t, e)
	if !reflect.DeepEqual(again.Sets, r.Sets) || !reflect.DeepEqual(again.Cases, r.Cases) {
		t.Error("a second run with the same seed says something else")
	}
}

// A limit draws documents, and queries of them alone.
func TestRelevanceLimit(t *testing.T) {
	data := fetched(t)
	e := quick(t, "set=known-item/mode=keyword")
	e.Data, e.DocLimit = data, 50
	r := runRelevance(t, e)
	if s := r.Sets[0]; s.Documents != 50 || s.Queries != 50 || r.Options.DocLimit != 50 || s.Weight != nil || r.Weight != nil {
		t.Errorf("%+v, %+v", s, r.Options)
	}
	e.Seed = 2
	if other := runRelevance(t, e); other.Sets[0].Digest == r.Sets[0].Digest {
		t.Error("another seed draws the same")
	}
	e.DocLimit = 3
	w, _ := Find("relevance")
	if _, err := Run(context.Background(), w, e); err == nil || !strings.Contains(err.Error(), "raise --docs") {
		t.Errorf("3 documents: %v", err)
	}
}

func TestRelevanceFaults(t *testing.T) {
	w, _ := Find("relevance")
	run := func(data string) error {
		e := quick(t, "")
		e.Data = data
		_, err := Run(context.Background(), w, e)
		return err
	}
	t.Setenv("PATH", t.TempDir())
	if err := run(t.TempDir()); err == nil || !strings.Contains(err.Error(), "with the package apt installed") {
		t.Errorf("without apt-get: %v", err)
	}
	data := fetched(t)
	if err := os.Remove(filepath.Join(data, "lists/archive_Translation-en")); err != nil {
		t.Fatal(err)
	}
	if err := run(data); err == nil || !strings.Contains(err.Error(), "1 package lists and 0 lists of English descriptions") {
		t.Errorf("without descriptions: %v", err)
	}
	data = fetched(t)
	name := filepath.Join(data, "unpacked/wordnet-base/usr/share/wordnet/data.noun")
	if err := os.WriteFile(name, []byte("nothing\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := run(data); err == nil || !strings.Contains(err.Error(), "data.noun: line 1:") {
		t.Errorf("a damaged WordNet: %v", err)
	}
	if err := run(`quo"ted`); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a directory that apt cannot be told of: %v", err)
	}
}

// A text is a document once, with the tags of all packages that have it.
func TestDistinctDescriptions(t *testing.T) {
	long := strings.Repeat("a description of eighty bytes ", 3)
	texts := map[string]string{"1": "One\n" + long, "2": "Two\n" + long, "3": "Short\nfor nobody", "4": "Other\nother " + long}
	d := descriptions{}
	for _, p := range []stanza{
		{"Package": "b", "Description-md5": "2", "Tag": "x::two"},
		{"Package": "a", "Description-md5": "1"},
		{"Package": "a", "Description-md5": "4", "Tag": "x::one,\nx::more"},
		{"Package": "c", "Description-md5": "3", "Tag": "x::three"},
		{"Package": "d", "Description-md5": "unknown"},
		{"Package": "g++", "Description-md5": "4"},
	} {
		d.add(p, texts)
	}
	got := d.distinct()
	want := []description{
		{"a", "One", strings.TrimSpace(long), map[string]bool{"x::one": true, "x::more": true, "x::two": true}},
		{"g++", "Other", "other " + strings.TrimSpace(long), map[string]bool{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if id := got[1].id(); id != "g__" {
		t.Errorf("id %q", id)
	}
}
