package tcp

import "slices"

// The records of a flight are bounded; beyond it new transmissions join the last record, which then tells a time too late for
// its beginning: round trips that are too short, and losses that are none. So a long path has more, one for so many bytes. A
// peer that sacks every other byte, and an application that writes single ones, come no further than they did.
const (
	minFlight   = 1024
	maxFlight   = 16 * minFlight
	flightShare = 512
)

// sent is a stretch of sequence space that was transmitted at one time and has one fate.
type sent struct {
	start, end Seq
	at         Time // of the last transmission
	mark       mark // what was known then
	fate       fate
	limited    bool // the application had nothing more to send for a while before it
}

type fate uint8

const (
	sacked        fate = 1 << iota // the peer holds it
	lost                           // deemed lost and not yet transmitted again
	retransmitted                  // transmitted more than once
	probing                        // a segment larger than the path is known to carry
)

func (s *sent) len() int { return s.end.Sub(s.start) }

// flight is the scoreboard: what lies between SND.UNA and SND.NXT, in order, without holes.
//
//	snd.una                                        snd.nxt
//	   | sent | lost | sent | sacked | sent again | sent |
type flight struct {
	list   []sent
	pipe   int // bytes believed to be in the network: neither sacked nor lost (RFC 6675, section 4)
	sacked int // bytes
	lost   int // bytes
}

func (f *flight) most() int {
	return min(max((f.pipe+f.sacked+f.lost)/flightShare, minFlight), maxFlight)
}

func (f *flight) empty() bool { return len(f.list) == 0 }

func (f *flight) account(s *sent, sign int) {
	n := sign * s.len()
	switch {
	case s.fate&sacked != 0:
		f.sacked += n
	case s.fate&lost != 0:
		f.lost += n
	default:
		f.pipe += n
	}
}

// push records the first transmission of x; as is 0, or probing.
func (f *flight) push(x span, now Time, as fate) {
	f.pipe += x.len()
	if n := len(f.list); n > 0 {
		if last := &f.list[n-1]; last.fate|as == 0 && (last.at == now || n >= f.most()) {
			last.end, last.at = x.end, now
			return
		}
	}
	f.list = append(f.list, sent{start: x.start, end: x.end, at: now, fate: as})
}

// resent records that x, the beginning of record i, was transmitted again.
func (f *flight) resent(i int, x span, now Time) {
	f.split(i, x.end)
	s := &f.list[i]
	f.account(s, -1)
	s.fate = s.fate&^(lost|probing) | retransmitted
	s.at = now
	f.account(s, 1)
}

// isolateLast makes the last segment of at most mss bytes a record of its own and returns its index. fin: the last sequence
// number is our FIN, which travels with the segment before it.
func (f *flight) isolateLast(mss int, fin bool) int {
	i := len(f.list) - 1
	r := f.list[i]
	n := r.len()
	if fin {
		n--
	}
	if n > mss {
		f.split(i, r.start.Add((n-1)/mss*mss))
	}
	return len(f.list) - 1
}

// split makes a record end at s, if one crosses it, and reports whether one did. Record i is known to contain s, or to end
// there.
func (f *flight) split(i int, s Seq) bool {
	r := f.list[i]
	if !r.start.Less(s) || !s.Less(r.end) {
		return false
	}
	f.list[i].end = s
	r.start = s
	f.list = slices.Insert(f.list, i+1, r)
	return true
}

// search returns the index of the record that contains s, or len(list).
func (f *flight) search(s Seq) int {
	lo, hi := 0, len(f.list)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if f.list[m].end.LessEq(s) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// ack removes everything before una, calling delivered for each record, or part, that was not sacked before.
func (f *flight) ack(una Seq, delivered func(*sent)) {
	i := 0
	for ; i < len(f.list) && f.list[i].start.Less(una); i++ {
		if una.Less(f.list[i].end) {
			f.split(i, una)
		}
		s := &f.list[i]
		f.account(s, -1)
		if s.fate&sacked == 0 {
			delivered(s)
		}
	}
	if i == len(f.list) {
		f.list = f.list[:0]
		return
	}
	f.list = slices.Delete(f.list, 0, i)
}

// sack marks what x covers, calling delivered for each record that was not sacked before; it returns the bytes so marked. The
// bound is on how far SACK blocks may cut the flight into pieces: a peer that sacks every other byte is not believed beyond it
// (attack class E07).
func (f *flight) sack(x span, delivered func(*sent)) int {
	n, most := 0, 2*f.most()
	for i := f.search(x.start); i < len(f.list) && f.list[i].start.Less(x.end); i++ {
		if r := &f.list[i]; len(f.list) >= most && (r.start.Less(x.start) || x.end.Less(r.end)) {
			continue
		}
		if f.split(i, x.start) {
			continue
		}
		f.split(i, x.end)
		s := &f.list[i]
		if s.fate&sacked != 0 {
			continue
		}
		n += s.len()
		delivered(s)
		f.account(s, -1)
		s.fate |= sacked
		s.fate &^= lost
		f.account(s, 1)
		i = f.merge(i)
	}
	return n
}

// merge joins record i with sacked neighbours, so that the list stays as short as the peer's, and returns its new index.
func (f *flight) merge(i int) int {
	if i+1 < len(f.list) && f.list[i+1].fate&sacked != 0 {
		f.list[i].end = f.list[i+1].end
		f.list = slices.Delete(f.list, i+1, i+2)
	}
	if i > 0 && f.list[i-1].fate&sacked != 0 {
		f.list[i-1].end = f.list[i].end
		f.list = slices.Delete(f.list, i, i+1)
		return i - 1
	}
	return i
}

// lose marks record i as lost.
func (f *flight) lose(i int) {
	s := &f.list[i]
	if s.fate&(sacked|lost) != 0 {
		return
	}
	f.account(s, -1)
	s.fate |= lost
	f.account(s, 1)
}

// reneged forgets what was sacked when the first record is: the peer would have acknowledged it, had it kept it. "The data
// sender MUST retransmit the segment at the left edge of the window after a retransmit timeout, whether or not the SACKed
// bit is on for that segment." (RFC 2018, section 8)
func (f *flight) reneged() {
	if len(f.list) == 0 || f.list[0].fate&sacked == 0 {
		return
	}
	for i := range f.list {
		s := &f.list[i]
		f.account(s, -1)
		s.fate &^= sacked
		f.account(s, 1)
	}
}

// findAll takes back that anything was lost.
func (f *flight) findAll() {
	for i := 0; i < len(f.list) && f.lost > 0; i++ {
		s := &f.list[i]
		f.account(s, -1)
		s.fate &^= lost
		f.account(s, 1)
	}
}

// repeated returns how many bytes were sent again and are under way, and when the first of them was.
func (f *flight) repeated() (n int, first Time) {
	first = Never
	for i := range f.list {
		if s := &f.list[i]; s.fate == retransmitted {
			n += s.len()
			first = min(first, s.at)
		}
	}
	return n, first
}

// firstLost returns the index of the first record that has to be sent again.
func (f *flight) firstLost() (int, bool) {
	if f.lost == 0 {
		return 0, false
	}
	for i := range f.list {
		if f.list[i].fate&lost != 0 {
			return i, true
		}
	}
	return 0, false
}
