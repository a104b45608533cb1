package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	dict := flag.String("dict", "/usr/share/wordnet", "directory of data.noun, data.verb, data.adj and cntlist.rev")
	out := flag.String("out", "cmd/demo/wordnet.ndjson.gz", "file to write")
	n := flag.Int("n", 5000, "documents")
	flag.Parse()
	if err := run(*dict, *out, *n); err != nil {
		fmt.Fprintln(os.Stderr, "mkcorpus:", err)
		os.Exit(1)
	}
}

// A synset is one document.
type synset struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Metadata metadata `json:"metadata"`
	Text     string   `json:"text"`

	count int
}

type metadata struct {
	POS   string   `json:"pos"`
	Words []string `json:"words"`
	Count int      `json:"count"` // how often its words were tagged with this sense
}

func run(dict, out string, n int) error {
	counts, err := readCounts(filepath.Join(dict, "cntlist.rev"))
	if err != nil {
		return err
	}
	var all []synset
	for _, pos := range []string{"noun", "verb", "adj"} {
		some, err := readData(filepath.Join(dict, "data."+pos), pos, counts)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b synset) int { return cmp.Or(b.count-a.count, cmp.Compare(a.ID, b.ID)) })
	all = all[:min(n, len(all))]
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for _, s := range all {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// readCounts reads how often each sense was tagged: "lemma%type:file:id:… number count".
func readCounts(name string) (map[string]int, error) {
	counts := map[string]int{}
	err := lines(name, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 3 {
			return fmt.Errorf("%q has not three fields", line)
		}
		lemma, rest, _ := strings.Cut(f[0], "%")
		key := strings.SplitN(rest, ":", 4)
		if len(key) < 3 {
			return fmt.Errorf("%q is no sense key", f[0])
		}
		count, err := strconv.Atoi(f[2])
		counts[senseKey(lemma, key[0], key[1], key[2])] += count
		return err
	})
	return counts, err
}

func senseKey(lemma, kind, file, id string) string {
	return strings.ToLower(lemma) + "%" + kind + ":" + file + ":" + id
}

var kinds = map[string]string{"n": "1", "v": "2", "a": "3", "s": "5"}

// readData reads synsets: "offset file type words(hex) {word id(hex)}… … | gloss".
func readData(name, pos string, counts map[string]int) (out []synset, err error) {
	err = lines(name, func(line string) error {
		if strings.HasPrefix(line, "  ") {
			return nil // the licence
		}
		head, gloss, _ := strings.Cut(line, "|")
		f := strings.Fields(head)
		n, err := strconv.ParseInt(f[3], 16, 32)
		if err != nil {
			return fmt.Errorf("%.60q: %w", line, err)
		}
		s := synset{ID: "wn-" + f[2] + f[0], Metadata: metadata{POS: pos}, Text: strings.TrimSpace(gloss)}
		for i := range int(n) {
			word, hex := f[4+2*i], f[5+2*i]
			if at := strings.IndexByte(word, '('); at > 0 {
				word = word[:at] // where an adjective may stand
			}
			id, err := strconv.ParseInt(hex, 16, 32)
			if err != nil {
				return fmt.Errorf("%.60q: %w", line, err)
			}
			s.count += counts[senseKey(word, kinds[f[2]], f[1], fmt.Sprintf("%02d", id))]
			s.Metadata.Words = append(s.Metadata.Words, strings.ReplaceAll(word, "_", " "))
		}
		s.Title, s.Metadata.Count = s.Metadata.Words[0], s.count
		out = append(out, s)
		return nil
	})
	return out, err
}

func lines(name string, each func(string) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if err := each(sc.Text()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return sc.Err()
}
