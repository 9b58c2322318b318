package tcp

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// FastOpen says in which roles TCP Fast Open (RFC 7413) is used: data travels with the SYN, and a round trip is saved. What a
// client sends so may be delivered twice, when the network duplicates a SYN: only services to which that does no harm should
// take it.
type FastOpen uint8

// The roles; they can be added.
const (
	FastOpenOff    FastOpen = 0
	FastOpenServer FastOpen = 1 << (iota - 1) // listeners give cookies, and take data with the SYN from who has one
	FastOpenClient                            // Connect asks for a cookie, and what is written before the SYN leaves goes with it
)

// fastOpen is what a connection has to do with Fast Open.
type fastOpen uint8

const (
	fastAsked   fastOpen = 1 << iota // our SYN asked for a cookie
	fastSent                         // our SYN had a cookie
	fastPassive                      // opened by a SYN with a cookie, before the handshake was complete
	fastRenew                        // the SYN-ACK brings a new cookie
	fastData                         // data of the SYN was taken, by the peer or by us
	fastAgain                        // the client asked for the SYN-ACK again: nobody knows which one it will answer
)

const (
	fastOpenCookieLen      = 8
	fastOpenEpoch          = 12 * Hour   // a cookie is of the present epoch or the one before (RFC 7413, section 4.1.2)
	fastOpenResetTime      = 60 * Second // for which a RST keeps the place of an attempt taken, as in Linux
	defaultFastOpenPending = 256
)

// fastOpenCookie is the cookie of a client's address for one of ours (RFC 7413, section 4.1.2).
func (s secret) fastOpenCookie(f *Flow, epoch int64) (cookie [fastOpenCookieLen]byte) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.hash(domainFastOpen, &Flow{Local: f.Local, Remote: f.Remote}))
	binary.BigEndian.PutUint64(b[8:], uint64(epoch))
	binary.BigEndian.PutUint64(cookie[:], siphash.Hash(s.k0, s.k1, b[:]))
	return cookie
}

// checkFastOpen judges a client's cookie: whether it is one of ours, and whether it is time for another.
func (t *Table) checkFastOpen(now Time, f *Flow, cookie []byte) (ok, old bool) {
	epoch := int64(now) / int64(fastOpenEpoch)
	if c := t.secret.fastOpenCookie(f, epoch); string(cookie) == string(c[:]) {
		return true, false
	}
	c := t.secret.fastOpenCookie(f, epoch-1)
	return string(cookie) == string(c[:]), true
}

// offerFastOpen writes the cookie of the client into the options of a SYN-ACK.
func (t *Table) offerFastOpen(now Time, f *Flow) {
	c := t.secret.fastOpenCookie(f, int64(now)/int64(fastOpenEpoch))
	t.options.fastOpen(c[:])
}

// fastOpenPending counts the connections of a listener whose clients have not shown that their address is theirs. Those that
// were reset count for a while: who spoofs addresses must not free places with the RSTs that come back (RFC 7413, section
// 5.1).
func (l *listener) fastOpenPending(now Time) int {
	for at, ok := l.fastResets.front(); ok && at <= now; at, ok = l.fastResets.front() {
		l.fastResets.pop()
	}
	return l.fastOpens + l.fastResets.n
}

// listenFast opens a connection with a SYN that has a valid cookie, and hands it to the application with the data of the SYN
// before the handshake is complete (RFC 7413, section 4.2.2). When it reports false the SYN is one like any other: its data
// is not taken (attack class H11).
func (t *Table) listenFast(now Time, l *listener, f *Flow, s *segment) bool {
	if !s.opts.hasFastOpen || len(s.opts.fastOpen) == 0 || !l.fast() || l.full() || t.cfg.Memory.Pressure() {
		return false
	}
	ok, old := t.checkFastOpen(now, f, s.opts.fastOpen)
	if !ok {
		t.counters.FastOpenRefused++
		return false
	}
	if l.fastOpenPending(now) >= l.opts.FastOpenPending {
		t.counters.FastOpenOverflows++
		return false
	}
	h := l.half(now, t, f, s)
	h.again = true // no SYN-ACK was sent yet that could measure
	c, d := t.open(now, l, &h)
	if d != DropNone {
		return false
	}
	t.setState(c, SynReceived)
	c.fast = fastPassive
	if old {
		c.fast |= fastRenew
	}
	c.synDue = true
	l.fastOpens++
	t.counters.FastOpenAccepted++
	t.offer(l, c)
	t.takeSynData(now, c, s)
	t.want(c)
	return true
}

// fast: the listener takes part. Where the application decides on each SYN, there is nothing to be had before it has.
func (l *listener) fast() bool { return l.opts.Options.FastOpen&FastOpenServer != 0 && !l.opts.Hold }

// takeSynData takes the data of a SYN; the SYN-ACK acknowledges it.
func (t *Table) takeSynData(now Time, c *Conn, s *segment) {
	x := span{c.rcv.nxt, minSeq(c.rcv.nxt.Add(len(s.payload)), c.rcv.adv)}
	if x.len() == 0 {
		return
	}
	t.receiveInOrder(now, c, x, s.payload[:x.len()], len(s.payload))
	if c.rcv.nxt != x.start {
		c.fast |= fastData
	}
}

// opening: nothing but SYNs can be sent. A server that took a SYN with a cookie may answer at once (RFC 7413, section 4.2.2).
func (c *Conn) opening() bool {
	return c.state == SynSent || c.state == SynReceived && (c.fast&fastPassive == 0 || c.synDue)
}

// synAgain: the SYN of a connection whose handshake is not complete comes again, with its data or without.
func (t *Table) synAgain(c *Conn, s *segment) {
	if c.timestamps && s.opts.hasTimestamps && int32(s.opts.tsVal-c.tsRecent) > 0 {
		c.tsRecent = s.opts.tsVal
	}
	if !c.synDue {
		c.fast |= fastAgain
	}
	c.synDue = true
	t.want(c)
}

// finishFast completes the handshake of a connection that was opened by a SYN with a cookie.
func (t *Table) finishFast(now Time, c *Conn, s *segment) Drop {
	if s.ack.Less(c.snd.iss+1) || c.snd.nxt.Less(s.ack) {
		t.reset(now, &c.flow, s)
		return DropHandshakeAck
	}
	if c.retries == 0 && c.fast&fastAgain == 0 {
		c.rtt.sample(now, now.Sub(c.born))
	}
	c.rtt.cautious = c.retries > 0
	c.retries, c.rtt.backoff = 0, 0
	c.synDue = false
	c.stopTimer(timerRetransmit)
	if !c.flight.empty() {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto()))
	}
	t.fastOver(c)
	t.setState(c, Established)
	if c.snd.fin {
		t.setState(c, FinWait1)
	}
	t.consumed(now, c, 0) // what was read meanwhile makes room
	c.heard = now
	t.armKeepAlive(c)
	t.want(c)
	return DropNone
}

// fastOver: c counts no longer as pending with its listener.
func (t *Table) fastOver(c *Conn) {
	if c.fast&fastPassive != 0 && c.state == SynReceived && c.listener != noListener {
		t.listeners[c.listener].fastOpens--
	}
}

// fastReset remembers the RST that ends c before its handshake is complete.
func (t *Table) fastReset(now Time, c *Conn) {
	if c.fast&fastPassive != 0 && c.state == SynReceived && c.listener != noListener {
		t.listeners[c.listener].fastResets.push(now.Add(fastOpenResetTime))
	}
}

// leaveListener: connections that were opened by a SYN with a cookie count no longer with a listener that ends.
func (t *Table) leaveListener(id ListenerID) {
	for i := range t.conns.next {
		if c := t.conn(i); c.live && c.fast&fastPassive != 0 && c.listener == id {
			c.listener = noListener
		}
	}
}
