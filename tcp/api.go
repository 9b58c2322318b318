package tcp

import "io"

// Connect is an application call: it opens a connection. With f.LocalPort 0 a port is chosen. EventConnected tells the end.
// Both addresses are those of single hosts (ErrAddress).
func (t *Table) Connect(now Time, f Flow, o Options) (*Conn, error) {
	if !f.Local.Unicast() || !f.Remote.Unicast() { // RFC 9293, MUST-46
		return nil, ErrAddress
	}
	if f.LocalPort == 0 {
		p, ok := t.choosePort(now, f)
		if !ok {
			return nil, ErrPorts
		}
		f.LocalPort = p
	}
	if f.Local == f.Remote && f.LocalPort == f.RemotePort {
		return nil, ErrInUse // a connection to itself (attack class H12)
	}
	iss := t.secret.isn(now, &f)
	old := t.find(&f)
	reuse := old != 0
	if reuse && (old.kind() != refTimeWait || !t.reusable(now, old.index())) {
		return nil, ErrInUse
	}
	c, err := t.newConn(now, &f, o)
	if err != nil {
		return nil, err
	}
	if reuse {
		if w := t.waits.records.at(old.index()); !w.sndNxt.Less(iss) {
			iss = w.sndNxt + 65537
		}
		t.endTimeWait(old.index())
		t.counters.TimeWaitReused++
	}
	c.active = true
	c.start(iss)
	t.setState(c, SynSent)
	c.synDue = true
	t.want(c)
	return c, nil
}

// reusable: our timestamps grow, so the peer can tell a new incarnation a second later (RFC 6191; Linux' tcp_tw_reuse).
func (t *Table) reusable(now Time, i uint32) bool {
	w := t.waits.records.at(i)
	return w.is(waitTimestamps) && now.Sub(w.expires.Add(-timeWaitLength)) > Second
}

const (
	firstPort = 32768
	lastPort  = 60999
)

// choosePort picks a local port: RFC 6056, algorithm 3, with a random step.
func (t *Table) choosePort(now Time, f Flow) (uint16, bool) {
	const n = lastPort - firstPort + 1
	offset := t.secret.portOffset(&f) + uint32(t.random.below(n))
	for i := range uint32(n) {
		f.LocalPort = uint16(firstPort + (offset+i)%n)
		if f.Local == f.Remote && f.LocalPort == f.RemotePort {
			continue
		}
		r := t.find(&f)
		if r == 0 || r.kind() == refTimeWait && t.reusable(now, r.index()) {
			return f.LocalPort, true
		}
	}
	return 0, false
}

// Write is an application call: it copies what fits of b and returns how much that is. 0 and no error: the buffer is full,
// EventWritable follows.
func (t *Table) Write(now Time, c *Conn, b []byte) (int, error) {
	if err := c.writeErr(); err != nil {
		return 0, err
	}
	t.checkDry(now, c)
	n := t.keepToSend(c, b[:min(len(b), c.sendRoom())])
	if n < len(b) {
		c.wantWrite = true
	}
	if n > 0 {
		t.want(c)
	} else if len(b) > 0 && c.snd.buf.len == 0 {
		return 0, ErrMemory // nothing is under way that could make room
	}
	return n, nil
}

// writeErr returns why nothing can be written any more.
func (c *Conn) writeErr() error {
	switch {
	case c.failure != 0:
		return c.Err()
	case c.snd.fin || !sending.has(c.state) && c.state != SynSent && c.state != SynReceived:
		return ErrClosed
	}
	return nil
}

// keepToSend puts b into the send buffer, as far as memory lets it, piece by piece: one long write must not take it all.
func (t *Table) keepToSend(c *Conn, b []byte) (n int) {
	if len(b) == 0 || !t.engage(c) {
		return 0
	}
	for n < len(b) {
		k := min(len(b)-n, pressedSendBuffer)
		if t.cfg.Memory.Pressure() {
			k = min(k, max(pressedSendBuffer-int(c.snd.buf.len), 0))
		}
		m := c.snd.buf.store(&t.pool, c.snd.buf.end(), b[n:n+k])
		c.snd.buf.len += uint32(m)
		n += m
		if m < pressedSendBuffer {
			break
		}
	}
	t.rest(c)
	return n
}

// sendLimit lets the buffer follow what is under way, or may be: one window is in flight, another waits. In a recovery the
// window is small for a moment and the flight is not: the stream must not run dry for it. On a short path acknowledgements, and
// with them the application, come so soon that a window would only lie in memory: the less waits, the more of it still is in the
// processor's cache when it leaves.
func (c *Conn) sendLimit() int {
	flight, cwnd := c.snd.nxt.Sub(c.snd.una), int(c.cc.cwnd)
	if c.shortPath() {
		return min(c.opts.SendBuffer, flight+c.waitLimit())
	}
	return min(c.opts.SendBuffer, max(minSendBuffer, 2*max(cwnd, flight)))
}

// longPath is the round-trip time from which on a whole window may wait: time for a process that was busy with others.
const longPath = 4 * Millisecond

func (c *Conn) shortPath() bool { return c.rtt.min != 0 && c.rtt.min < longPath }

// waitLimit is how much may wait on a short path beside what is under way: as much as an application copies at once, and what
// leaves in one burst (stack/lend.go).
func (c *Conn) waitLimit() int {
	return max(minWait, int(int64(c.cc.cwnd)*int64(c.rtt.min)/int64(longPath)))
}

func (c *Conn) sendRoom() int { return max(c.sendLimit()-int(c.snd.buf.len), 0) }

// Read is an application call: it copies received bytes into b. 0 and no error: nothing there yet, EventReadable follows.
// io.EOF after the peer's FIN. Bytes that came before an error are still delivered.
func (t *Table) Read(now Time, c *Conn, b []byte) (int, error) {
	n, err := c.unread(len(b))
	if n > 0 {
		c.rcv.buf.load(&t.pool, c.rcv.buf.front, b[:n])
		t.take(now, c, n)
	}
	return n, err
}

// unread returns how many of n bytes can be read, and why it is none.
func (c *Conn) unread(n int) (int, error) {
	switch {
	case n == 0 || c.rcv.buf.len > 0:
		return min(n, int(c.rcv.buf.len)), nil
	case c.rcv.fin && c.rcv.finAt.Less(c.rcv.nxt):
		return 0, io.EOF
	case c.failure != 0:
		return 0, c.Err()
	case c.detached:
		return 0, io.EOF
	}
	c.wantRead = true
	return 0, nil
}

// Await is an application call: EventReadable follows when more has come than is there.
func (t *Table) Await(c *Conn) { c.wantRead = true }

// take removes n bytes that the application has.
func (t *Table) take(now Time, c *Conn, n int) {
	c.rcv.buf.advance(&t.pool, n)
	c.rcv.urgent = c.rcv.urgent && c.rcv.buf.front.Less(c.rcv.up)
	c.rcv.buf.trim(&t.pool, len(c.ahead) > 0)
	if !c.detached {
		t.consumed(now, c, n)
	}
}

// CloseWrite is an application call: no more bytes follow; FIN is sent after the last one (RFC 9293, section 3.10.4).
func (t *Table) CloseWrite(_ Time, c *Conn) error {
	if c.failure != 0 {
		return c.Err()
	}
	t.queueFin(c)
	return nil
}

func (t *Table) queueFin(c *Conn) {
	if c.snd.fin || c.detached {
		return
	}
	t.engageAnyway(c)
	c.snd.fin = true
	switch c.state {
	case Established:
		t.setState(c, FinWait1)
	case CloseWait:
		t.setState(c, LastAck)
	}
	t.want(c)
}

// Close is an application call: it gives the connection up. Bytes written are still delivered, then FIN. With bytes received
// and not read the peer is told by RST that they are lost (RFC 2525, section 2.17; RFC 9293, section 3.10.4).
func (t *Table) Close(now Time, c *Conn) {
	switch {
	case c.detached || c.failure != 0:
		t.release(c)
	case c.rcv.buf.len > 0 || c.state == SynSent:
		t.Abort(now, c)
	default:
		t.queueFin(c)
		c.released = true
		if c.state == FinWait2 {
			t.setTimer(c, timerFinWait2, now.Add(finWait2Timeout))
		}
	}
}

// Abort is an application call: it gives the connection up with RST (RFC 9293, section 3.10.5).
func (t *Table) Abort(_ Time, c *Conn) {
	if c.detached {
		t.release(c)
		return
	}
	if synchronized.has(c.state) || c.state == SynReceived {
		t.reply(c.marked(reply{seq: c.snd.acceptable(), ack: c.rcv.nxt, flags: RST | ACK}))
	}
	c.released = true
	t.terminate(c, ErrAborted) // and frees it
}

// AbortReleased is an application call: it resets connections that were given up by Close and are not over yet, from slot on,
// up to the first that there is. It returns the slot to go on from, and false when there is none left: their peers must not
// take silence, when the table ends, for a network that is slow.
func (t *Table) AbortReleased(now Time, slot uint32) (next uint32, ok bool) {
	for ; slot < t.conns.next; slot++ {
		if c := t.conn(slot); c.live && c.released && !c.detached {
			t.Abort(now, c)
			return slot + 1, true
		}
	}
	return slot, false
}

// release: the application holds c no longer.
func (t *Table) release(c *Conn) {
	c.released = true
	if c.detached {
		t.free(c)
	}
}

// fail ends a connection with an error.
func (t *Table) fail(c *Conn, err error) {
	t.terminate(c, err)
}

// terminate moves c to CLOSED. What was received stays readable.
func (t *Table) terminate(c *Conn, err error) {
	t.fastOver(c)
	t.setState(c, Closed)
	c.failure = failureOf(err)
	t.detach(c)
	t.ended(c)
}

// ended cleans up after a connection that the table no longer finds.
func (t *Table) ended(c *Conn) {
	c.stopTimers()
	if !c.pinned.has(pinWrite) {
		c.snd.buf.clear(&t.pool)
	}
	t.disengage(c)
	t.counters.Closed++
	if c.released {
		t.free(c)
		return
	}
	if c.active && c.cc.cwnd == 0 { // it never was open
		t.signal(c, EventConnected)
	}
	c.wantRead, c.wantWrite = false, false
	t.signal(c, EventReadable)
	t.signal(c, EventWritable)
}

// SetNoDelay is an application call; see Options. What a cork holds leaves once, as in Linux.
func (t *Table) SetNoDelay(_ Time, c *Conn, on bool) {
	o := *c.opts
	o.NoDelay = on
	t.setOptions(c, o)
	if on && c.corked {
		c.uncork()
	}
	t.want(c)
}

// SetKeepAlive is an application call; see Options.
func (t *Table) SetKeepAlive(now Time, c *Conn, k KeepAlive) {
	o := *c.opts
	o.KeepAlive = k.withDefaults()
	t.setOptions(c, o)
	c.keepProbes = 0
	c.stopTimer(timerKeepAlive)
	if k.Enabled && synchronized.has(c.state) && !c.detached {
		t.setTimer(c, timerKeepAlive, now.Add(c.opts.KeepAlive.Idle))
	}
}

// SetUserTimeout is an application call; see Options.
func (t *Table) SetUserTimeout(_ Time, c *Conn, d Duration) {
	o := *c.opts
	o.UserTimeout = orDefault(d, defaultUserTimeout)
	t.setOptions(c, o)
}

// SetTTL is an application call; see Options.
func (t *Table) SetTTL(_ Time, c *Conn, ttl uint8) {
	o := *c.opts
	o.TTL = ttl
	t.setOptions(c, o)
}

// SetTrafficClass is an application call; see Options.
func (t *Table) SetTrafficClass(_ Time, c *Conn, class uint8) {
	o := *c.opts
	o.TrafficClass = class &^ ecnBits
	t.setOptions(c, o)
}
