package tcp

import "slices"

// A receiver keeps a bounded number of separate ranges beyond a hole (attack class E06). Full segments may make more of them:
// where a sender overshoots a short queue every second or third of a window is lost, and whatever of the others is not kept has
// to come again. They bring bytes for the list that they make long, and the receive buffer bounds those.
const (
	maxRanges     = 256
	maxFullRanges = 4096
)

// ranges is a set of sequence numbers as disjoint spans in ascending order, no two of which touch.
type ranges []span

// search returns the index of the first span that ends at or after s. The halving takes no branch that depends on what it finds:
// a mispredicted one costs more than the step.
func (r ranges) search(s Seq) int {
	lo := 0
	for n := len(r); n > 0; {
		half := (n + 1) / 2
		next := lo + half
		if r[next-1].end.Less(s) {
			lo = next
		}
		n -= half
	}
	return lo
}

// fits reports whether adding x keeps the set within its bound; full is the length of a full segment.
func (r ranges) fits(x span, full int) bool {
	if len(r) < maxRanges || len(r) < maxFullRanges && x.len() >= full {
		return true
	}
	i := r.search(x.start)
	return i < len(r) && r[i].start.LessEq(x.end)
}

// add puts x into the set.
func (r *ranges) add(x span) {
	i := r.search(x.start)
	j := i
	for j < len(*r) && (*r)[j].start.LessEq(x.end) {
		x.start, x.end = minSeq(x.start, (*r)[j].start), maxSeq(x.end, (*r)[j].end)
		j++
	}
	*r = slices.Replace(*r, i, j, x)
}

// covering returns the span that contains s.
func (r ranges) covering(s Seq) (span, bool) {
	i := r.search(s)
	for ; i < len(r) && r[i].start.LessEq(s); i++ {
		if s.Less(r[i].end) {
			return r[i], true
		}
	}
	return span{}, false
}

// gap returns the first part of x that is not in the set; empty when there is none.
func (r ranges) gap(x span) span {
	for i := r.search(x.start); i < len(r) && x.start.Less(x.end); i++ {
		if x.start.Less(r[i].start) {
			x.end = minSeq(x.end, r[i].start)
			break
		}
		x.start = maxSeq(x.start, r[i].end)
	}
	if !x.start.Less(x.end) {
		x.start = x.end
	}
	return x
}

// dropBefore removes what lies before s and returns how far the set then reaches without a hole from s on.
func (r *ranges) dropBefore(s Seq) Seq {
	i := 0
	for i < len(*r) && (*r)[i].start.LessEq(s) {
		s = maxSeq(s, (*r)[i].end)
		i++
	}
	*r = slices.Delete(*r, 0, i)
	return s
}
