package tcp

// Seq is a sequence number: a position in the circle of 2^32 (RFC 9293, section 3.4). Positions compare correctly while
// they are less than 2^31 apart, which windows of at most 2^30 bytes guarantee.
type Seq uint32

// Less reports whether a lies before b.
func (a Seq) Less(b Seq) bool { return int32(a-b) < 0 }

// LessEq reports whether a lies before b or is b.
func (a Seq) LessEq(b Seq) bool { return int32(a-b) <= 0 }

// Add returns the position n further on.
func (a Seq) Add(n int) Seq { return a + Seq(uint32(n)) }

// Sub returns how far a lies beyond b; negative when it lies before.
func (a Seq) Sub(b Seq) int { return int(int32(a - b)) }

func maxSeq(a, b Seq) Seq {
	if a.Less(b) {
		return b
	}
	return a
}

func minSeq(a, b Seq) Seq {
	if a.Less(b) {
		return a
	}
	return b
}

// span is the sequence space [start, end).
type span struct{ start, end Seq }

func (s span) len() int { return s.end.Sub(s.start) }
