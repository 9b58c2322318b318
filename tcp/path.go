package tcp

import "tcpd/ip"

// maxPaths bounds the destinations whose path MTU is remembered.
const maxPaths = 4096

// pathCache remembers path MTUs that are smaller than the link's (RFC 1191, section 6; RFC 8201, section 5.2).
type pathCache struct {
	mtu   map[ip.Addr]pathMTU
	order fifo[pathEntry] // in which they were learned, which is nearly that in which they end
}

type pathEntry struct {
	to      ip.Addr
	expires Time // when it was queued
}

type pathMTU struct {
	mtu      uint16
	searched bool // found by a search, no router said it
	expires  Time
}

// pathMTU returns the MTU of the path to a destination.
func (t *Table) pathMTU(now Time, to ip.Addr) uint16 {
	link := uint16(min(t.cfg.MTU, 65535))
	if p, ok := t.paths.mtu[to]; ok && now < p.expires {
		return min(link, p.mtu)
	}
	return link
}

// rememberPath takes what a router says. What another has said is not taken back by that: "A node MUST NOT increase its estimate of
// the Path MTU in response to the contents of a Packet Too Big message" (RFC 8201, section 4).
func (t *Table) rememberPath(now Time, to ip.Addr, mtu uint16) {
	if p, ok := t.paths.mtu[to]; ok && !p.searched && now < p.expires && p.mtu < mtu {
		return
	}
	t.keepPath(now, to, mtu, false)
}

func (t *Table) rememberSearched(now Time, to ip.Addr, mtu uint16) { t.keepPath(now, to, mtu, true) }

func (t *Table) keepPath(now Time, to ip.Addr, mtu uint16, searched bool) {
	p := &t.paths
	if p.mtu == nil {
		p.mtu = make(map[ip.Addr]pathMTU)
	}
	expires := now.Add(pathMTUAge)
	if _, known := p.mtu[to]; !known {
		if p.order.n >= maxPaths {
			old, _ := p.order.pop()
			delete(p.mtu, old.to)
		}
		p.order.push(pathEntry{to, expires})
	}
	p.mtu[to] = pathMTU{mtu, searched, expires}
}

// forget takes out what is too old to be believed.
func (p *pathCache) forget(now Time) {
	for {
		e, ok := p.order.front()
		if !ok || e.expires > now {
			return
		}
		p.order.pop()
		if m := p.mtu[e.to]; m.expires > now {
			p.order.push(pathEntry{e.to, m.expires}) // learned again meanwhile
		} else {
			delete(p.mtu, e.to)
		}
	}
}

// followPath lets a live connection that is about to send take over what is known of its path: that another connection found
// it narrower (RFC 8201, section 5.2), and that ten minutes have passed. Then larger segments are tried, and if they are still
// too big, a router says so again: "the PMTU estimate is set to the MTU of the associated link" (RFC 1191, section 6.3; RFC
// 8201, section 4).
func (t *Table) followPath(now Time, c *Conn) {
	if c.search != 0 {
		t.searchPath(now, c)
		return
	}
	if p := t.paths.mtu[c.flow.Remote]; p.searched && now < p.expires && c.opts.MTUProbing != MTUProbingOff {
		t.beginSearch(now, c, p.mtu, p.expires)
		return
	}
	switch m := t.pathMTU(now, c.flow.Remote); {
	case m > c.pathMTU:
		t.counters.PathMTURaised++
		c.setPathMTU(m)
	case m < c.pathMTU:
		c.setPathMTU(m)
	}
}

func (c *Conn) setPathMTU(mtu uint16) {
	c.pathMTU = mtu
	c.sizeSegments()
}

// Unreachable is an event in: an ICMP error that quotes one of our segments. It counts only if the quoted sequence number is
// in flight: anybody can guess addresses and ports (RFC 5927, section 4).
func (t *Table) Unreachable(now Time, m *ip.ICMP) Drop {
	d := t.unreachable(now, m)
	t.counters.Drops[d]++
	return d
}

func (t *Table) unreachable(now Time, m *ip.ICMP) Drop {
	e := &m.Embedded
	r := t.find(&Flow{Local: e.Src, Remote: e.Dst, LocalPort: e.SrcPort, RemotePort: e.DstPort})
	if r == 0 || e.Protocol != ip.ProtocolTCP || r.kind() != refConn {
		return DropICMPFlow
	}
	c := t.conn(r.index())
	if s := Seq(e.Seq); s.Less(c.snd.una) || !s.Less(c.snd.nxt) {
		return DropICMPSequence
	}
	switch m.Kind {
	case ip.PacketTooBig:
		return t.packetTooBig(now, c, Seq(e.Seq), m.MTU)
	case ip.PortUnreachable, ip.ProtocolUnreachable, ip.AdminProhibited:
		if c.state == SynSent {
			t.fail(c, ErrRefused)
			return DropNone
		}
	case ip.HostUnreachable, ip.NetUnreachable:
		if c.state == SynSent {
			t.fail(c, ErrUnreachable)
			return DropNone
		}
	}
	// "... hard errors ... SHOULD be treated as soft" in synchronized states (RFC 5927, section 5.2).
	if soft := softError(m.Kind); c.soft != soft {
		c.soft = soft
		t.signal(c, EventReport)
	}
	return DropICMPSoft
}

// softError is what the network said of a connection that goes on all the same: the application is told (RFC 9293, MUST-47,
// SHLD-25), until the peer acknowledges something.
type softError ip.ICMPKind

func (s softError) err() error {
	switch ip.ICMPKind(s) {
	case ip.Ignored:
		return nil
	case ip.PortUnreachable, ip.ProtocolUnreachable, ip.AdminProhibited:
		return ErrRefused
	}
	return ErrUnreachable
}

// packetTooBig lowers the path MTU to what a router says, or may have meant by saying nothing.
func (t *Table) packetTooBig(now Time, c *Conn, quoted Seq, mtu int) Drop {
	if mtu == 0 {
		if p := c.flight.search(quoted); c.flight.has(p) && t.probeTooBig(c, p) {
			return DropNone // what passes, the search knows better
		}
		mtu = plateau(min(int(c.pathMTU), int(c.snd.mss)+c.headers()))
	}
	mtu = max(mtu, c.minPathMTU())
	switch {
	case c.state == SynSent:
		return t.synTooBig(now, c, mtu)
	case mtu >= t.largestPacket(c) || !synchronized.has(c.state) || !c.sentMore(quoted, mtu):
		return DropPathMTU
	}
	t.rememberPath(now, c.flow.Remote, uint16(mtu))
	if c.search != 0 {
		t.probeTooBig(c, c.flight.search(quoted))
		t.limitSearch(now, c)
		mtu = min(mtu, int(c.pathMTU))
	}
	t.narrow(c, uint16(mtu))
	return DropNone
}

// minPathMTU is the least that is believed.
func (c *Conn) minPathMTU() int {
	if c.flow.Local.Is4() {
		return minPathMTU4
	}
	return minPathMTU6
}

// largestPacket is the largest packet that c may have sent of late: a search probes beyond the path MTU.
func (t *Table) largestPacket(c *Conn) int {
	if c.search != 0 {
		return int(max(c.pathMTU, t.searchOf(c).size))
	}
	return int(c.pathMTU)
}

// narrow lowers the path MTU of c. What was too big is sent again in smaller segments, and that is no congestion.
func (t *Table) narrow(c *Conn, mtu uint16) {
	old := c.snd.mss
	c.setPathMTU(mtu)
	t.counters.PathMTUReduced++
	if c.snd.mss >= old {
		return
	}
	f := &c.flight
	for p := (place{}); f.has(p); p = f.next(p) {
		if f.at(p).len() > int(c.snd.mss) {
			f.lose(p)
			c.recovery.tooBig = true
		}
	}
	t.want(c)
}

// sentMore: a packet of more than mtu bytes was sent with the sequence number that is quoted, or no router has complained of it
// (attack class C01).
func (c *Conn) sentMore(quoted Seq, mtu int) bool {
	f := &c.flight
	p := f.search(quoted)
	return f.has(p) && f.at(p).len() > mtu-c.headers()
}

// headers is how long IP and TCP header of a segment without SACK blocks are.
func (c *Conn) headers() int {
	n := c.flow.headerLen() + headerLen
	if c.timestamps {
		n += timestampsLen
	}
	return n
}

// plateau guesses the next smaller MTU for routers that do not tell (RFC 1191, section 7.1).
func plateau(mtu int) int {
	for _, p := range [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006} {
		if p < mtu {
			return p
		}
	}
	return minPathMTU4
}
