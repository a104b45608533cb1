package attr

import (
	"encoding/json"

	"github.com/arrwdb/arrwdb/index/filter"
)

type Builder struct{ M [][2][]byte }

func NewBuilder() *Builder { return &Builder{} }
func (b *Builder) Add(doc, chunk []byte) { b.M = append(b.M, [2][]byte{doc, chunk}) }
func (b *Builder) Build() []byte { out, _ := json.Marshal(b.M); return out }

type Segment struct{ m [][2][]byte }

func Open(b []byte) (*Segment, error) { s := &Segment{}; return s, json.Unmarshal(b, &s.m) }
func (s *Segment) Len() int { return len(s.m) }
func (s *Segment) Eval(f *filter.Filter, out []uint64) {
	clear(out)
	for i, m := range s.m {
		if f.Match(m[0], m[1]) {
			out[i/64] |= 1 << (i % 64)
		}
	}
}
func Merge(segs []*Segment, purged func(int, uint32) bool) ([]byte, error) {
	b := NewBuilder()
	for i, s := range segs {
		for j, m := range s.m {
			if purged(i, uint32(j)) {
				m = [2][]byte{}
			}
			b.Add(m[0], m[1])
		}
	}
	return b.Build(), nil
}
