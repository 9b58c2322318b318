package tcp

// The records of a flight are bounded; beyond it new transmissions join the last record, which then tells a time too late for
// its beginning: round trips that are too short, and losses that are none. So a long path has more, one for so many bytes. A
// peer that sacks every other byte, and an application that writes single ones, come no further than they did.
const (
	minFlight   = 1024
	maxFlight   = 16 * minFlight
	flightShare = 512
)

// flight is the scoreboard: what lies between SND.UNA and SND.NXT, in order, without holes.
//
//	snd.una                                        snd.nxt
//	   | sent | lost | sent | sacked | sent again | sent |
type flight struct {
	stretches
	pipe   int   // bytes believed to be in the network: neither sacked nor lost (RFC 6675, section 4)
	sacked int   // bytes
	lost   int32 // bytes
	again  int32 // of pipe, what was transmitted more than once
}

func (f *flight) most() int {
	return min(max((f.pipe+f.sacked+int(f.lost))/flightShare, minFlight), maxFlight)
}

// tally counts s, a record or a part of one, in or out of the sums; sign is 1 or -1.
func (f *flight) tally(s *sent, sign int) {
	n := sign * s.len()
	switch {
	case s.fate&sacked != 0:
		f.sacked += n
	case s.fate&lost != 0:
		f.lost += int32(n)
	default:
		f.pipe += n
		if s.fate&retransmitted != 0 {
			f.again += int32(n)
		}
	}
}

// account is tally with the sums of b, where s lies.
func (f *flight) account(b *block, s *sent, sign int) {
	f.tally(s, sign)
	b.count(s, sign)
}

// push records the first transmission of x, and returns its record; as is 0, or probing.
func (f *flight) push(x span, now Time, as fate) *sent {
	if len(f.blocks) > 0 {
		p := f.last()
		if last := f.at(p); last.fate|as == 0 && (last.at == now || int(f.n) >= f.most()) {
			b := &f.blocks[p.block]
			f.account(b, last, -1)
			last.end, last.at = x.end, now
			f.account(b, last, 1)
			return last
		}
	}
	b, s := f.append(sent{start: x.start, end: x.end, at: now, fate: as})
	f.account(b, s, 1)
	return s
}

// change gives the record at p another fate.
func (f *flight) change(p place, set, clear fate) {
	b := &f.blocks[p.block]
	s := &b.list[p.i]
	f.account(b, s, -1)
	s.fate = s.fate&^clear | set
	f.account(b, s, 1)
}

// resent records that x, the beginning of the record at p, was transmitted again, and returns its record.
func (f *flight) resent(p place, x span, now Time) *sent {
	p, _ = f.split(p, x.end)
	b := &f.blocks[p.block]
	s := &b.list[p.i]
	f.account(b, s, -1)
	s.fate = s.fate&^(lost|probing) | retransmitted
	s.at = now
	f.account(b, s, 1)
	return s
}

// isolateLast makes the last segment of at most mss bytes a record of its own and returns its place. fin: the last sequence
// number is our FIN, which travels with the segment before it.
func (f *flight) isolateLast(mss int, fin bool) place {
	p := f.last()
	r := f.at(p)
	n := r.len()
	if fin {
		n--
	}
	if n > mss {
		f.split(p, r.start.Add((n-1)/mss*mss))
	}
	return f.last()
}

// split makes the record at p end at s, if it crosses it, and reports whether it did. It returns where the record lies then; what
// was cut off is the next.
func (f *flight) split(p place, s Seq) (place, bool) {
	r := *f.at(p)
	if !r.start.Less(s) || !s.Less(r.end) {
		return p, false
	}
	r.start = s
	p = f.insert(p, r)
	f.at(p).end = s // not earlier: the block that they share counts the bytes of both
	return p, true
}

// ack removes everything before una, calling delivered for each record, or part, that was not sacked before.
func (f *flight) ack(una Seq, delivered func(*sent)) {
	over := false
	for !over && len(f.blocks) > 0 {
		list, n := f.blocks[0].list, 0
		for n < len(list) && list[n].end.LessEq(una) {
			f.leave(&list[n], delivered)
			n++
		}
		if over = n < len(list); over {
			f.shorten(n, una, delivered)
		}
		f.removeFirst(n)
	}
}

// leave takes s out of the sums, because it is acknowledged.
func (f *flight) leave(s *sent, delivered func(*sent)) {
	f.tally(s, -1)
	if s.fate&sacked == 0 {
		delivered(s)
	}
}

// shorten takes what lies before una out of the first block: n records, and a part of the next.
func (f *flight) shorten(n int, una Seq, delivered func(*sent)) {
	b := &f.blocks[0]
	for i := range n {
		b.count(&b.list[i], -1)
	}
	if s := &b.list[n]; s.start.Less(una) {
		end := s.end
		s.end = una
		f.leave(s, delivered)
		b.count(s, -1)
		s.start, s.end = una, end
	}
}

// sack marks what x covers, calling delivered for each record that was not sacked before; it returns the bytes so marked. The
// bound is on how far SACK blocks may cut the flight into pieces: a peer that sacks every other byte is not believed beyond it
// (attack class E07).
func (f *flight) sack(x span, delivered func(*sent)) int {
	n, most := 0, 2*f.most()
	p := f.search(x.start)
	from := max(p.block-1, 0)
	for ; f.has(p) && f.at(p).start.Less(x.end); p = f.next(p) {
		if r := f.at(p); int(f.n) >= most && (r.start.Less(x.start) || x.end.Less(r.end)) {
			continue
		}
		if first, cut := f.split(p, x.start); cut {
			p = f.next(first)
		}
		p, _ = f.split(p, x.end)
		s := f.at(p)
		if s.fate&sacked != 0 {
			continue
		}
		n += s.len()
		delivered(s)
		f.change(p, sacked, lost)
		p = f.merge(p)
	}
	for k := from; k <= p.block && k+1 < len(f.blocks); {
		if !f.join(k) {
			k++
		}
	}
	return n
}

// merge joins the record at p with sacked neighbours, so that the list stays as short as the peer's, and returns its new place.
func (f *flight) merge(p place) place {
	if q := f.next(p); f.has(q) && f.at(q).fate&sacked != 0 {
		f.at(p).end = f.at(q).end
		f.remove(q)
	}
	if q, ok := f.previous(p); ok && f.at(q).fate&sacked != 0 {
		f.at(q).end = f.at(p).end
		f.remove(p)
		return q
	}
	return p
}

// lose marks the record at p as lost.
func (f *flight) lose(p place) {
	if f.at(p).fate&(sacked|lost) == 0 {
		f.change(p, lost, 0)
	}
}

// reneged forgets what was sacked when the first record is: the peer would have acknowledged it, had it kept it. "The data
// sender MUST retransmit the segment at the left edge of the window after a retransmit timeout, whether or not the SACKed
// bit is on for that segment." (RFC 2018, section 8)
func (f *flight) reneged() {
	if f.empty() || f.first().fate&sacked == 0 {
		return
	}
	for p := (place{}); f.has(p); p = f.next(p) {
		f.change(p, 0, sacked)
	}
}

// findAll takes back that anything was lost.
func (f *flight) findAll() {
	for p := (place{}); f.has(p) && f.lost > 0; p = f.next(p) {
		f.change(p, 0, lost)
	}
}

// repeated returns how many bytes were sent again and are under way, and when the first of them was.
func (f *flight) repeated() (n int, first Time) {
	first = Never
	for p := (place{}); f.again > 0 && f.has(p); p = f.next(p) {
		if s := f.at(p); s.fate == retransmitted {
			n += s.len()
			first = min(first, s.at)
		}
	}
	return n, first
}

// firstLost returns the place of the first record that has to be sent again.
func (f *flight) firstLost() (p place, ok bool) {
	if f.lost == 0 {
		return p, false
	}
	for f.blocks[p.block].lost == 0 {
		p.block++
	}
	for f.at(p).fate&lost == 0 {
		p.i++
	}
	return p, true
}
