package cdc

import (
	"fmt"

	"github.com/arrwdb/arrwdb/change"
)

// resolve returns the first seq that a reader is to be sent, and the place where
// it stands before that. It is a function of what the log says at one moment.
func (q *Query) resolve(lineage change.Lineage, head, earliest uint64) (next uint64, err *change.Error) {
	if p := q.After; p != nil {
		if common, ok := lineage.Common(p.Epoch, p.Seq); !ok {
			return 0, diverged(*p, lineage, min(common, head))
		}
		next = p.Seq + 1
	} else {
		switch q.From.Kind {
		case FromNow:
			return head + 1, nil
		case FromStart:
			return min(earliest, head+1), nil
		}
		next = max(q.From.Seq, 1)
	}
	switch {
	case next-1 > head:
		what := fmt.Sprintf("from=%d", next)
		if q.After != nil {
			what = fmt.Sprintf("position %s", *q.After)
		}
		return 0, change.Errorf(change.Ahead, "%s is past the head, which is at %d: %d is the next change", what, head, head+1).
			With("head_seq", head).With("epoch", lineage.Current().String())
	case next < earliest:
		return 0, expired(next, lineage, head, earliest)
	}
	return next, nil
}

func diverged(p change.Position, lineage change.Lineage, common uint64) *change.Error {
	return change.Errorf(change.Diverged, "position %s belongs to another history than this database (epoch %s); they share the changes up to %d", p, lineage.Current(), common).
		With("common_seq", common).With("epoch", lineage.Current().String())
}

func expired(next uint64, lineage change.Lineage, head, earliest uint64) *change.Error {
	return change.Errorf(change.OffsetExpired, "change %d is no longer in the log, which begins at %d: take a snapshot, or read from %d on", next, earliest, earliest).
		With("earliest_seq", earliest).With("head_seq", head).With("epoch", lineage.Current().String())
}

// start returns where a reader begins, by the rules of the API, section 7.
func start(log Log, q *Query) (next uint64, at change.Position, err *change.Error) {
	// The head is read before the lineage: a head of a newer epoch than the
	// lineage would make good positions look diverged.
	head, earliest := log.Head().Seq, log.EarliestSeq()
	lineage := log.Lineage()
	if next, err = q.resolve(lineage, head, earliest); err != nil {
		return 0, at, err
	}
	if q.After != nil {
		if q.After.HasCheck {
			if err = log.CheckPosition(*q.After); err != nil {
				return 0, at, err
			}
		}
		return next, *q.After, nil
	}
	// The check of the change before may be gone with it; the position is good
	// without.
	at, posErr := log.PositionAt(next - 1)
	if posErr != nil || at.Seq != next-1 {
		at = change.Position{Epoch: lineage.At(next - 1), Seq: next - 1}
	}
	return next, at, nil
}
