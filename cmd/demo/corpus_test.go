package demo

import (
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestCorpus(t *testing.T) {
	docs, err := Corpus()
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 5000 {
		t.Errorf("%d documents", len(docs))
	}
	ids, valid := map[string]bool{}, regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	for _, d := range docs {
		if ids[d.ID] || !valid.MatchString(d.ID) || d.Title == "" || d.Chunks[0].Text == "" || d.Metadata["pos"] == nil {
			t.Errorf("%+v", d)
		}
		ids[d.ID] = true
	}
	if len(packed) > 1<<20 {
		t.Errorf("the corpus takes %d bytes", len(packed))
	}
	licence, err := os.ReadFile("WORDNET-LICENSE")
	if err != nil || !strings.Contains(string(licence), "WordNet 3.0 Copyright 2006 by Princeton University") {
		t.Errorf("the licence has to come with the corpus: %v", err)
	}
}

func TestVector(t *testing.T) {
	dot := func(a, b string) (sum float64) {
		va, vb := Vector(a), Vector(b)
		for i := range va {
			sum += float64(va[i]) * float64(vb[i])
		}
		return sum
	}
	for _, text := range []string{"a human being", "", "…", "Straße 7"} {
		if n := dot(text, text); math.Abs(n-1) > 1e-6 {
			t.Errorf("%q: length² %v", text, n)
		}
	}
	if near, far := dot("the cat sat on a mat", "A cat on the mat!"), dot("the cat sat on a mat", "prices rose again last year"); near < far+0.4 {
		t.Errorf("shared words %v, none %v", near, far)
	}
}
