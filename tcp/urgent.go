package tcp

import "math"

// The urgent mechanism (RFC 9293, section 3.8.5): a mark in a stream that tells the reader to hurry on to it. The bytes before
// it are delivered in line like all others (RFC 6093, section 5). What reads learns of the mark by EventReport and
// Info.Urgent; what writes sets it with WriteUrgent.

// arriveUrgent is step six of RFC 9293, section 3.10.7.4: RCV.UP follows the largest mark, and the application is told while it
// lies ahead of what was read (MUST-32). It holds with a closed window too (MUST-66).
func (t *Table) arriveUrgent(c *Conn, s *segment) {
	if !s.flags.has(URG) || !receiving.has(c.state) || c.rcv.fin {
		return
	}
	up := s.seq.Add(int(s.urgent))
	if !c.rcv.buf.front.Less(up) || c.rcv.urgent && up.LessEq(c.rcv.up) {
		return
	}
	c.rcv.urgent, c.rcv.up = true, up
	t.signal(c, EventReport)
}

// urgentAhead returns how many bytes are to be read up to the mark, received or not (MUST-33); 0: there is none.
func (c *Conn) urgentAhead() int {
	if !c.rcv.urgent {
		return 0
	}
	return max(c.rcv.up.Sub(c.rcv.buf.front), 0)
}

// WriteUrgent is an application call: Write, and the last byte that was taken is urgent (RFC 9293, section 3.9.1.2). "New
// applications SHOULD NOT employ the TCP urgent mechanism" (SHLD-13): it is here for old ones.
func (t *Table) WriteUrgent(now Time, c *Conn, b []byte) (int, error) {
	n, err := t.Write(now, c, b)
	if n > 0 {
		c.urgent, c.sndUp = true, c.snd.buf.end()
	}
	return n, err
}

// mark sets URG and the pointer of a segment that begins at or before the end of our urgent data: the pointer names the first
// byte behind it (MUST-62), or is as large as can be while that is further off (MUST-31).
func (c *Conn) mark(h *header) {
	if !c.urgent {
		return
	}
	if ahead := c.sndUp.Sub(h.seq); ahead > 0 {
		h.flags |= URG
		h.urgent = uint16(min(ahead, math.MaxUint16))
	}
}
