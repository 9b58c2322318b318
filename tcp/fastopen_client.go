package tcp

import "tcpd/ip"

const (
	maxFastServers   = 1024
	maxFastCookie    = 16
	fastOpenNegative = 10 * Minute // for which a server that gave no cookie is not asked again
	fastOpenLoss     = Minute      // for which a path that lost a SYN with the option is spared, doubled with each further one
)

// fastServers remembers what servers gave us (RFC 7413, section 4.1.3).
type fastServers struct {
	known map[ip.Addr]fastServer
	order fifo[ip.Addr]
}

type fastServer struct {
	cookie [maxFastCookie]byte
	length uint8 // of the cookie; 0: none
	losses uint8 // SYNs with the option that went unanswered, and plain ones did not
	mss    uint16
	spared Time // until then no SYN to it has the option
}

func (f *fastServers) set(a ip.Addr, s fastServer) {
	if f.known == nil {
		f.known = make(map[ip.Addr]fastServer)
	}
	if _, ok := f.known[a]; !ok {
		if f.order.n >= maxFastServers {
			old, _ := f.order.pop()
			delete(f.known, old)
		}
		f.order.push(a)
	}
	f.known[a] = s
}

// FastOpenReady is an application call: it tells whether what is written at once after Connect would travel with the SYN.
func (t *Table) FastOpenReady(now Time, to ip.Addr) bool {
	s, ok := t.fastServers.known[to]
	return ok && s.length > 0 && s.spared <= now
}

// askFast puts the option into the first SYN of an active open, and returns how many bytes of data go with it: no more than
// the server could take when it gave the cookie (RFC 7413, section 4.2.1).
func (t *Table) askFast(now Time, c *Conn) int {
	if c.opts.FastOpen&FastOpenClient == 0 || c.state != SynSent || c.retries > 0 || c.snd.nxt != c.snd.iss {
		return 0
	}
	s := t.fastServers.known[c.flow.Remote]
	switch {
	case s.spared > now:
		return 0
	case s.length == 0:
		c.fast |= fastAsked
		t.options.fastOpen(nil)
		return 0
	}
	c.fast |= fastSent
	t.options.fastOpen(s.cookie[:s.length])
	mss := int(s.mss)
	if mss == 0 {
		mss = c.flow.defaultMSS()
	}
	n := min(mss, int(c.pathMTU)-c.flow.headerLen()-headerLen) - t.options.n
	n = max(min(n, int(c.snd.buf.len)), 0)
	if n > 0 {
		t.counters.FastOpenSent++
	}
	return n
}

// learnFast takes what the answer to our SYN tells: a cookie, that there is none to be had, or that a SYN with the option does
// not get through (RFC 7413, section 4.1.3.1).
func (t *Table) learnFast(now Time, c *Conn, s *segment) {
	if c.fast&(fastAsked|fastSent) == 0 {
		return
	}
	k := t.fastServers.known[c.flow.Remote]
	n := len(s.opts.fastOpen)
	given := s.opts.hasFastOpen && n >= 4 && n <= maxFastCookie && n%2 == 0
	if given {
		k.length = uint8(copy(k.cookie[:], s.opts.fastOpen))
		t.counters.FastOpenCookies++
	}
	k.mss = s.opts.mss
	switch {
	case c.fast&fastData != 0 || given:
		k.losses, k.spared = 0, 0
	case c.retries > 0:
		k.spared = now.Add(fastOpenLoss << min(k.losses, 10))
		k.losses = min(k.losses+1, 10)
		t.counters.FastOpenFallbacks++
	case c.fast&fastAsked != 0:
		k.spared = now.Add(fastOpenNegative)
	default:
		t.counters.FastOpenFallbacks++ // the server did not take the data, for reasons of its own
	}
	t.fastServers.set(c.flow.Remote, k)
}

// ackSyn takes the acknowledgement of our SYN, and of what it carried; the rest of that is sent like any other data.
func (t *Table) ackSyn(c *Conn, ack Seq) {
	n := ack.Sub(c.snd.iss + 1)
	if n > 0 {
		c.fast |= fastData
		c.snd.buf.advance(&t.pool, n)
		c.snd.buf.trim(&t.pool, c.pinned.has(pinWrite))
		c.stats.bytesSent += uint64(n)
		c.stats.bytesAcked += uint64(n)
	}
	c.snd.una, c.snd.nxt, c.snd.small = ack, ack, ack
}

// synTooBig: a SYN with data that is too big for the path is sent again without.
func (t *Table) synTooBig(now Time, c *Conn, mtu int) Drop {
	if c.fast&fastSent == 0 || c.retries > 0 || mtu >= int(c.pathMTU) {
		return DropPathMTU
	}
	t.rememberPath(now, c.flow.Remote, uint16(mtu))
	c.pathMTU = uint16(mtu)
	t.counters.PathMTUReduced++
	c.retries++
	c.synDue = true
	t.want(c)
	return DropNone
}
