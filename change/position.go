package change

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An Epoch is the identity of a history of sequence numbers: 64 random bits,
// written as 13 letters of lower-case base32 (RFC 4648 without padding).
type Epoch uint64

var epochText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewEpoch draws a random epoch, never 0.
func NewEpoch() Epoch {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			panic(err) // crypto/rand.Read never fails on supported systems
		}
		if e := Epoch(binary.BigEndian.Uint64(b[:])); e != 0 {
			return e
		}
	}
}

func (e Epoch) String() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(e))
	return epochText.EncodeToString(b[:])
}

// ParseEpoch reads what String wrote.
func ParseEpoch(s string) (Epoch, error) {
	b, err := epochText.DecodeString(s)
	if err != nil || len(b) != 8 || epochText.EncodeToString(b) != s {
		return 0, fmt.Errorf("epoch %q is not 13 letters of lower-case base32", s)
	}
	return Epoch(binary.BigEndian.Uint64(b)), nil
}

// MarshalText writes the epoch as String does.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (e *Epoch) UnmarshalText(b []byte) error {
	v, err := ParseEpoch(string(b))
	if err == nil {
		*e = v
	}
	return err
}

// A Position is a place in the feed: after the change Seq of the history Epoch.
// Check is the log's chain at that change; it is verified when HasCheck.
type Position struct {
	Epoch    Epoch
	Seq      uint64
	Check    uint32
	HasCheck bool
}

// String writes "<epoch>:<seq>" or "<epoch>:<seq>:<check>".
func (p Position) String() string { return string(p.Append(nil)) }

// Append appends what String returns to b.
func (p Position) Append(b []byte) []byte {
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], uint64(p.Epoch))
	b = epochText.AppendEncode(b, e[:])
	b = append(b, ':')
	b = strconv.AppendUint(b, p.Seq, 10)
	if p.HasCheck {
		const hex = "0123456789abcdef"
		b = append(b, ':')
		for shift := 28; shift >= 0; shift -= 4 {
			b = append(b, hex[p.Check>>shift&15])
		}
	}
	return b
}

// MarshalJSON writes the position as a JSON string.
func (p Position) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

var errPosition = errors.New("a position is <epoch>:<seq> or <epoch>:<seq>:<check>, for example as sent in Arrwdb-Position")

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return Position{}, fmt.Errorf("%q: %w", s, errPosition)
	}
	e, err := ParseEpoch(parts[0])
	if err != nil {
		return Position{}, fmt.Errorf("%q: %w", s, errPosition)
	}
	p := Position{Epoch: e}
	if p.Seq, err = strconv.ParseUint(parts[1], 10, 64); err != nil || (len(parts[1]) > 1 && parts[1][0] == '0') || parts[1][0] == '+' {
		return Position{}, fmt.Errorf("%q: %w", s, errPosition)
	}
	if len(parts) == 3 {
		c, err := strconv.ParseUint(parts[2], 16, 32)
		if err != nil || len(parts[2]) != 8 {
			return Position{}, fmt.Errorf("%q: %w", s, errPosition)
		}
		p.Check, p.HasCheck = uint32(c), true
	}
	return p, nil
}

// A Lineage lists the epochs of a database, oldest first, each with the first
// seq that belongs to it. The last entry is the current epoch.
//
// Invariant: not empty; FirstSeq never falls from one entry to the next.
type Lineage []EpochStart

// An EpochStart is one entry of a Lineage.
type EpochStart struct {
	Epoch    Epoch  `json:"epoch"`
	FirstSeq uint64 `json:"first_seq"`
}

// Current returns the epoch that new changes belong to.
func (l Lineage) Current() Epoch { return l[len(l)-1].Epoch }

// At returns the epoch that seq belongs to. Seq 0, the place before the first
// change, belongs to the first epoch.
func (l Lineage) At(seq uint64) Epoch {
	for i := len(l) - 1; i > 0; i-- {
		if seq >= l[i].FirstSeq {
			return l[i].Epoch
		}
	}
	return l[0].Epoch
}

// Common returns the highest seq that the history of a reader, who stands at
// position (e, seq), shares with this lineage, and whether all of the reader's
// history is shared. For an unknown epoch it returns 0, false.
func (l Lineage) Common(e Epoch, seq uint64) (common uint64, ok bool) {
	for i := range l {
		if l[i].Epoch != e {
			continue
		}
		if i == len(l)-1 {
			return seq, true
		}
		if fork := l[i+1].FirstSeq - 1; seq > fork {
			return fork, false
		}
		return seq, true
	}
	return 0, false
}
