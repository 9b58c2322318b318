package tcp

import "slices"

// arriveData takes the payload (RFC 9293, section 3.10.7.4, seventh). What was received first stays: a retransmission with
// other bytes changes nothing (attack class E12).
func (t *Table) arriveData(now Time, c *Conn, s *segment) Drop {
	if len(s.payload) == 0 {
		return DropNone
	}
	start := s.seq
	if s.flags.has(SYN) {
		start++
	}
	if !receiving.has(c.state) {
		return DropPastFin
	}
	if c.released {
		// Nobody will read it, and no acknowledgement may say otherwise (RFC 2525, section 2.17).
		// The sequence number is that after all we sent: what is under way moves RCV.NXT there before the RST comes.
		t.reply(c.marked(reply{seq: c.snd.nxt, flags: RST}))
		t.fail(c, ErrAborted)
		return DropDataUnread
	}
	x := span{maxSeq(start, c.rcv.nxt), minSeq(start.Add(len(s.payload)), c.rcv.adv)}
	if c.rcv.fin {
		x.end = minSeq(x.end, c.rcv.finAt)
	}
	if start.Less(c.rcv.nxt) {
		t.noteDuplicate(c, span{start, minSeq(start.Add(len(s.payload)), c.rcv.nxt)})
	}
	if !x.start.Less(x.end) {
		t.ackAtOnce(c)
		return DropDuplicate
	}
	c.dataArrived(now, s)
	if c.ecn.capable {
		t.arriveMark(c, s)
	}
	b := s.payload[x.start.Sub(start):x.end.Sub(start)]
	if x.start == c.rcv.nxt && len(c.ahead) == 0 {
		return t.receiveInOrder(now, c, x, b, len(s.payload))
	}
	return t.receiveAhead(c, x, b)
}

// receiveInOrder is the common case: the next bytes.
func (t *Table) receiveInOrder(now Time, c *Conn, x span, b []byte, all int) Drop {
	n := c.rcv.buf.store(&t.pool, x.start, b)
	c.rcv.nxt = c.rcv.nxt.Add(n)
	c.rcv.buf.len += uint32(n)
	c.stats.bytesReceived += uint64(n)
	if n > 0 {
		t.readable(c)
	}
	t.scheduleAck(now, c)
	if n == all {
		return DropNone
	}
	c.ackNow = true
	t.want(c)
	if n < len(b) {
		return DropMemory
	}
	return DropPartial
}

// receiveAhead keeps bytes beyond a hole, or fills one. Disorder is acknowledged at once (RFC 5681, section 4.2).
func (t *Table) receiveAhead(c *Conn, x span, b []byte) Drop {
	t.ackAtOnce(c)
	if x.start != c.rcv.nxt {
		c.stats.outOfOrder++
	}
	if x.start != c.rcv.nxt && !c.ahead.fits(x, int(c.rcv.mss)) {
		return DropRanges
	}
	if x.start != c.rcv.nxt && t.cfg.Memory.Pressure() && c.rcv.buf.missing(x.end) > x.len()+spareAhead || !t.engage(c) {
		return DropMemory
	}
	if len(c.ahead) == 0 {
		for i := range c.recent {
			c.recent[i] = c.rcv.nxt // in no range to come
		}
	}
	drop, fresh := DropNone, false
	for g := c.ahead.gap(x); g.start != g.end; g = c.ahead.gap(span{g.end, x.end}) {
		fresh = true
		// With the pages of the holes before: bytes kept ahead must not starve those that let the application have them.
		n := c.rcv.buf.cover(&t.pool, g.start, g.len())
		c.rcv.buf.store(&t.pool, g.start, b[g.start.Sub(x.start):][:n])
		if n > 0 {
			c.ahead.add(span{g.start, g.start.Add(n)})
			c.stats.bytesReceived += uint64(n)
		}
		if n < g.len() {
			drop = DropMemory
			break
		}
	}
	c.rcv.buf.trim(&t.pool, len(c.ahead) > 0)
	if !fresh {
		t.noteDuplicate(c, x)
		drop = DropDuplicate
	} else {
		t.cameAhead(c, x.len())
	}
	c.noteRecent(x.start)
	if nxt := c.ahead.dropBefore(c.rcv.nxt); nxt != c.rcv.nxt {
		c.rcv.buf.len += uint32(nxt.Sub(c.rcv.nxt))
		c.rcv.nxt = nxt
		if len(c.ahead) == 0 {
			c.news = 0
		}
		t.readable(c)
	}
	return drop
}

// spareAhead is how many bytes of pages for a hole a segment may ask for while memory is scarce: a byte at the far end of the window
// asks for all of it.
const spareAhead = 16 << 10

// noteRecent remembers the ranges into which the latest segments ahead fell, one sequence number for each: SACK reports them
// first (RFC 2018, section 4). Several segments of one range must not push out the others: one acknowledgement may answer
// them all, and a range that it leaves out is sent again for nothing.
func (c *Conn) noteRecent(at Seq) {
	r := &c.recent
	x, _ := c.ahead.covering(at)
	i := 0
	for i < len(r)-1 && (r[i].Less(x.start) || !r[i].Less(x.end)) {
		i++
	}
	copy(r[1:i+1], r[:i])
	r[0] = at
	if c.sack && i >= int(c.news) {
		c.news = uint8(min(int(c.news)+1, len(r)))
	}
}

// reported takes note of the blocks that an acknowledgement carries. Ranges of the same batch that had no room go first in the
// next one, which follows at once: a range that no acknowledgement names is taken for lost by whoever goes by time.
func (c *Conn) reported(blocks []span) {
	r, n := &c.recent, 0
	for n < int(c.news) {
		x, ok := c.ahead.covering(r[n])
		if ok && !slices.Contains(blocks, x) {
			break
		}
		n++
	}
	if n == int(c.news) || n == 0 {
		c.news = 0
		return
	}
	var told [recentRanges]Seq
	copy(told[:], r[:n])
	copy(r[:], r[n:c.news])
	copy(r[int(c.news)-n:], told[:n])
	c.news -= uint8(n)
}

// noteDuplicate lets the next acknowledgement report x as received twice (RFC 2883, section 4).
func (t *Table) noteDuplicate(c *Conn, x span) {
	if c.sack && x.start.Less(x.end) && t.engage(c) {
		c.dsack = x
	}
	t.counters.DuplicatesIn++
}

// sackBlocks returns the blocks to report, at most n: a duplicate first, then the ranges of the latest segments, then others.
func (c *Conn) sackBlocks(dst []span, n int) []span {
	dst = dst[:0]
	if c.dsack.start != c.dsack.end && n > 0 {
		dst = append(dst, c.dsack)
	}
	first := len(dst)
	add := func(r span) {
		for _, have := range dst[first:] {
			if have == r {
				return
			}
		}
		if len(dst) < n {
			dst = append(dst, r)
		}
	}
	if len(c.ahead) == 0 {
		return dst
	}
	for i := 0; i < len(c.recent) && len(dst) < n; i++ {
		if r, ok := c.ahead.covering(c.recent[i]); ok {
			add(r)
		}
	}
	for i := 0; i < len(c.ahead) && len(dst) < n; i++ {
		add(c.ahead[i])
	}
	return dst
}

// arriveFin handles the peer's FIN, now or when the bytes before it have come (RFC 9293, section 3.10.7.4, eighth).
func (t *Table) arriveFin(now Time, c *Conn, s *segment) {
	if c.detached || !receiving.has(c.state) {
		return
	}
	if s.flags.has(FIN) && !c.rcv.fin {
		at := s.end() - 1
		if c.rcv.nxt.LessEq(at) && at.LessEq(c.rcv.adv) && (len(c.ahead) == 0 || c.ahead[len(c.ahead)-1].end.LessEq(at)) {
			c.rcv.fin, c.rcv.finAt = true, at
		}
		if at != c.rcv.nxt { // disorder is acknowledged at once (RFC 5681, section 4.2)
			c.ackNow = true
			t.want(c)
		}
	}
	if !c.rcv.fin || c.rcv.nxt != c.rcv.finAt {
		return
	}
	c.rcv.nxt++
	c.rcv.adv = maxSeq(c.rcv.adv, c.rcv.nxt)
	c.ackNow = true
	t.want(c)
	t.readable(c)
	switch c.state {
	case Established:
		t.setState(c, CloseWait)
	case FinWait1:
		t.setState(c, Closing)
	case FinWait2:
		t.enterTimeWait(now, c)
	}
}

// advertise returns the window field of a segment that leaves now. The right edge moves in steps worth a segment (silly-
// window avoidance, RFC 9293, section 3.8.6.2.2) and never to the left: where scaling would round it down, it is rounded up.
// Each rounding lets the edge drift, and a peer of tiny segments would make it drift for ever; an eighth beyond the largest
// buffer the field is rounded down instead, and what was promised before is still taken (RFC 7323, section 2.4).
func (c *Conn) advertise() uint16 {
	edge := c.rcv.adv
	if want := c.wantedEdge(); want.Sub(edge) >= c.edgeStep() {
		edge = want
	}
	w := edge.Sub(c.rcv.nxt)
	field := w >> c.rcv.scale
	if c.rcv.nxt.Add(field << c.rcv.scale).Less(c.rcv.adv) {
		up, most := (field+1)<<c.rcv.scale, int(c.rcv.max)
		if c.rcv.nxt.Add(up).Sub(c.rcv.buf.front) <= most+most/8+1<<c.rcv.scale {
			field++
		}
	}
	field = min(field, 65535)
	c.rcv.adv = maxSeq(c.rcv.adv, c.rcv.nxt.Add(field<<c.rcv.scale))
	return uint16(field)
}

// edgeStep is the least by which the right edge moves (RFC 9293, section 3.8.6.2.2).
func (c *Conn) edgeStep() int { return min(int(c.rcv.mss), int(c.rcv.limit)/2) }

// wantedEdge is where the window would end if nothing held it back.
func (c *Conn) wantedEdge() Seq {
	room := max(int(c.rcv.limit)-int(c.rcv.buf.len), 0)
	return maxSeq(c.rcv.nxt.Add(min(room, 65535<<c.rcv.scale)), c.rcv.adv)
}

// consumed is called when the application has read n bytes: the buffer may grow, and the peer may have to be told of room. An
// acknowledgement that moves the edge by nothing would be a duplicate: a peer without SACK takes three of them for a loss.
func (t *Table) consumed(now Time, c *Conn, n int) {
	t.growReceiveBuffer(now, c, n)
	if !receiving.has(c.state) || c.rcv.fin {
		return
	}
	left, gain := c.rcv.adv.Sub(c.rcv.nxt), c.wantedEdge().Sub(c.rcv.adv)
	if gain >= c.edgeStep() && (gain >= int(c.rcv.limit)/4 || left < int(c.rcv.mss)) {
		c.ackNow = true
		t.want(c)
	}
}

// cameAhead lets the buffer grow while a hole keeps from the application what comes: on a long path with losses there is hardly
// a round trip without one, and a sender whose window doubles would meet the edge in each. Who leaves unread what could be read
// gets no more so. Without SACK a duplicate acknowledgement is one only while the window stays (RFC 5681, section 2).
func (t *Table) cameAhead(c *Conn, n int) {
	r := &c.rcv
	if !c.sack || r.buf.len > r.limit/4 || t.standing || t.cfg.Memory.Pressure() {
		return
	}
	c.came = min(c.came+uint32(n), r.max)
	r.limit = max(r.limit, min(4*c.came, r.max))
}

// standingFloor is the buffer that a standing queue leaves to a receiver: two super-packets.
const standingFloor = 128 << 10

// growReceiveBuffer lets the buffer follow what the application takes in a round trip (dynamic right-sizing). A sender whose
// window doubles sends twice as much in the next one, and the measure comes a round trip late: hence four times. Who takes a whole
// buffer sooner has a path of microseconds, on which the buffer is all that bounds the sender: it grows at once.
//
// While a queue stands in front of us, windows are larger than the path needs and the surplus only waits in it: then the
// buffer shrinks, and so it does when memory presses. The right edge stays where it is until what was taken makes up for it.
func (t *Table) growReceiveBuffer(now Time, c *Conn, n int) {
	c.rcv.copied += uint32(n)
	elapsed := now.Sub(c.rcv.measured)
	held := t.standing || t.cfg.Memory.Pressure()
	if held && elapsed < max(c.rtt.srtt, Millisecond) || !held && elapsed < c.receivingTrip() && c.rcv.copied < c.rcv.limit {
		return // who is held goes by what the peer cannot tell us wrongly
	}
	// What the path itself needs stays: four times what came in its own round trip, without the queue.
	path := 4 * int(c.rcv.copied) / int(max(elapsed/max(c.rtt.min, Microsecond), 1))
	if floor := uint32(min(max(standingFloor, path), int(c.rcv.max))); t.standing && c.rcv.limit > floor {
		c.rcv.limit = max(c.rcv.limit-c.rcv.limit/4, floor)
		c.newMeasure(now)
		return
	}
	if t.cfg.Memory.Pressure() && c.rcv.limit > initialBuffer {
		c.rcv.limit = max(c.rcv.limit-c.rcv.limit/4, initialBuffer)
		c.newMeasure(now)
		return
	}
	want := min(4*int(c.rcv.copied)+16*int(c.rcv.mss), int(c.rcv.max))
	if want > int(c.rcv.limit) && !t.cfg.Memory.Pressure() {
		c.rcv.limit = uint32(want)
	}
	c.newMeasure(now)
}

// receivingTrip is how long a round trip is for who receives. Without timestamps a pure receiver knows the handshake's only.
func (c *Conn) receivingTrip() Duration {
	d := c.rtt.srtt
	if c.rcv.trip != 0 {
		d = Duration(c.rcv.trip) * Millisecond
	}
	return max(d, Millisecond)
}

func (c *Conn) newMeasure(now Time) {
	c.rcv.copied, c.rcv.measured, c.rcv.trip = 0, now, 0
	if c.came != 0 { // else the record may be the empty one that is shared
		c.came = 0
	}
}
