package tcp

import "slices"

// maxRanges bounds the separate ranges that a receiver keeps beyond a hole (attack class E06).
const maxRanges = 256

// ranges is a set of sequence numbers as disjoint spans in ascending order, no two of which touch.
type ranges []span

// search returns the index of the first span that ends at or after s.
func (r ranges) search(s Seq) int {
	lo, hi := 0, len(r)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if r[m].end.Less(s) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// fits reports whether adding x keeps the set within its bound.
func (r ranges) fits(x span) bool {
	if len(r) < maxRanges {
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
