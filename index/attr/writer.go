package attr

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/arrwdb/arrwdb/index/filter"
)

// A segment, all numbers little-endian:
//
//	 0 magic "arrwATTR"
//	 8 u32 version        12 u32 slots
//	16 u32 nodes, n       20 u32 zero
//	24 u64 bytes of names 32 u64 bytes of bodies
//	40 (n + 1) × node     u64 end of the name of the node before · u64 end of its body · u32 first child · u32 zero
//	   names, bodies
//	   u32 CRC-32C of all before it
//
// Node 0 is the root. The nodes are the tree of the fields' segments, breadth
// first, children in the order of their names' bytes: those of node i are the
// ones from its first child to that of node i+1. Entry n closes the lists.
const (
	magic      = "arrwATTR"
	version    = 1
	headerSize = 40
	nodeSize   = 24
	crcSize    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer gathers the tree and the bodies of a segment. Nodes come breadth first,
// children in order; Builder and Merge both write through it, which is why the
// same slots give the same bytes whichever way they came.
type writer struct {
	n      uint32
	nodes  []outNode
	bodies []byte

	group  groupWriter
	groups []byte // of the field at hand, each after its length
	kinds  byte

	bitmap *roaring.Bitmap // scratch of appendPosting
	slots  []uint32        // scratch
	rank   []uint32        // scratch of ranks
}

type outNode struct {
	parent int
	name   string
	body   int  // its end in bodies
	live   bool // it or one of its children has a body
}

func newWriter(n uint32) *writer {
	w := &writer{n: n, bitmap: roaring.New()}
	w.group.w = w
	return w
}

// ranks returns twice a zero for each slot.
func (w *writer) ranks() (lowest, highest []uint32) {
	if w.rank == nil {
		w.rank = make([]uint32, 2*int(w.n))
	}
	clear(w.rank)
	return w.rank[:w.n], w.rank[w.n:]
}

// node begins the next node.
func (w *writer) node(parent int, name string) (id int) {
	w.groups, w.kinds = w.groups[:0], 0
	w.nodes = append(w.nodes, outNode{parent: parent, name: name, body: len(w.bodies)})
	return len(w.nodes) - 1
}

// begin begins the node's group of a kind; the kinds ascend.
func (w *writer) begin(kind filter.Kind) *groupWriter {
	w.group.reset(kind)
	return &w.group
}

// end ends the group.
func (w *writer) end() {
	g := &w.group
	if g.n == 0 {
		return
	}
	w.kinds |= 1 << g.kind
	at := len(w.groups)
	w.groups = append(w.groups, make([]byte, 8)...)
	w.groups = g.appendTo(w.groups)
	binary.LittleEndian.PutUint64(w.groups[at:], uint64(len(w.groups)-at-8))
}

// field ends the node, with the slots where the field exists. Without any there
// is no body: a value is nowhere where its field is not.
//
//	uvarint, the exists posting · u8 a bit for each kind · for each: u64 its bytes, the group
func (w *writer) field(exists []uint32) (err error) {
	if len(exists) == 0 {
		return nil
	}
	n := &w.nodes[len(w.nodes)-1]
	p, err := appendPosting(nil, exists, w.bitmap)
	if err != nil {
		return err
	}
	w.bodies = binary.AppendUvarint(w.bodies, uint64(len(p)))
	w.bodies = append(w.bodies, p...)
	w.bodies = append(w.bodies, w.kinds)
	w.bodies = append(w.bodies, w.groups...)
	n.body, n.live = len(w.bodies), true
	return nil
}

// segment returns the bytes, without nodes that lead to nothing.
func (w *writer) segment() []byte {
	w.nodes[0].live = true
	names, count := 0, 0
	for i := len(w.nodes) - 1; i >= 0; i-- {
		if n := &w.nodes[i]; n.live {
			w.nodes[max(n.parent, 0)].live = true
			names += len(n.name)
			count++
		}
	}
	dst := make([]byte, 0, headerSize+(count+1)*nodeSize+names+len(w.bodies)+crcSize)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, w.n)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(count))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(names))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(w.bodies)))
	dst = w.appendTable(dst)
	for i := range w.nodes {
		if w.nodes[i].live {
			dst = append(dst, w.nodes[i].name...)
		}
	}
	dst = append(dst, w.bodies...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

func (w *writer) appendTable(dst []byte) []byte {
	kids := make([]uint32, len(w.nodes)) // live ones of each node
	for i := 1; i < len(w.nodes); i++ {
		if w.nodes[i].live {
			kids[w.nodes[i].parent]++
		}
	}
	names, body, first := 0, 0, uint32(1)
	for i := range w.nodes {
		n := &w.nodes[i]
		if !n.live {
			continue
		}
		dst = appendNode(dst, names, body, first)
		names, body, first = names+len(n.name), n.body, first+kids[i]
	}
	return appendNode(dst, names, body, first)
}

func appendNode(dst []byte, names, body int, first uint32) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(names))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(body))
	dst = binary.LittleEndian.AppendUint32(dst, first)
	return binary.LittleEndian.AppendUint32(dst, 0)
}
