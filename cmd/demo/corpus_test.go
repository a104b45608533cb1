package demo

import (
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
