package tcp

import (
	"fmt"

	"tcpd/ip"
)

// MTUProbing says when a connection finds out by itself what its path carries, without routers that tell (Packetization Layer
// Path MTU Discovery, RFC 4821 and RFC 8899, section 5).
type MTUProbing uint8

// The choices; Linux' tcp_mtu_probing calls them 1, 0 and 2.
const (
	MTUProbingBlackHole MTUProbing = iota // when large segments seem to vanish
	MTUProbingOff
	MTUProbingOn // always: from small segments upwards
)

func (p MTUProbing) String() string {
	switch p {
	case MTUProbingBlackHole:
		return "blackhole"
	case MTUProbingOff:
		return "off"
	case MTUProbingOn:
		return "on"
	}
	return fmt.Sprintf("MTUProbing(%d)", uint8(p))
}

const (
	// Small enough for nearly every path: 1024 bytes in IPv4, as Linux (tcp_base_mss); IPv6 has a least MTU.
	baseMTU4 = 1024 + ip.HeaderLen4 + headerLen
	baseMTU6 = minPathMTU6
	// Retransmissions of a full segment without any answer, after which a black hole is suspected (as Linux, tcp_retries1).
	blackHoleRetries = 3
	searchThreshold  = 8  // bytes: less is not worth a probe (as Linux, tcp_probe_threshold)
	searchWindow     = 11 // segments of cwnd: the loss of a probe must be repaired by those behind it
	searchBehind     = 4  // segments that wait to follow a probe
	searchAgain      = 10 * Minute
)

// mtuSearch is the state of a search. Only connections that search, or have, hold one; Conn.search is its number, plus one.
//
//	low        size            high   limit
//	 |--passes---|--unknown------|-----|     bytes of whole packets
type mtuSearch struct {
	low   uint16 // passes
	high  uint16 // may pass
	limit uint16 // of link, peer and routers; high when nothing larger was lost
	size  uint16 // of the probe under way; 0: none
	end   Seq    // behind the probe
	again Time   // when the next search begins; 0: one is on
}

// searchOf returns the state of c.
func (t *Table) searchOf(c *Conn) *mtuSearch { return t.searches.at(c.search - 1) }

// beginSearch lowers c to segments that pass, and lets it try larger ones from then on.
func (t *Table) beginSearch(now Time, c *Conn, low uint16, again Time) {
	if c.search == 0 {
		c.search = t.searches.get() + 1
	}
	*t.searchOf(c) = mtuSearch{low: low, again: again}
	t.limitSearch(now, c)
	c.setPathMTU(t.searchOf(c).low)
}

// startSearch lets a connection that is to search from its begin on do so.
func (t *Table) startSearch(now Time, c *Conn) {
	if c.opts.MTUProbing == MTUProbingOn {
		t.beginSearch(now, c, uint16(min(int(c.pathMTU), c.baseMTU())), 0)
	}
}

func (t *Table) endSearch(c *Conn) {
	if c.search != 0 {
		t.searches.put(c.search - 1)
		c.search = 0
	}
}

// limitSearch takes what link, peer and routers say into the search; at its begin they are where it starts from.
func (t *Table) limitSearch(now Time, c *Conn) {
	s := t.searchOf(c)
	m := min(t.cfg.MTU, 65535)
	if p, ok := t.paths.mtu[c.flow.Remote]; ok && !p.searched && now < p.expires {
		m = min(m, int(p.mtu))
	}
	m = min(m, c.theirMSS()+c.flow.headerLen()+headerLen)
	if limit := uint16(m); s.limit == 0 || limit < s.limit {
		s.limit = limit
		s.high = limit
		s.low = min(s.low, limit)
		if s.size > limit {
			s.size = 0 // whatever becomes of the probe under way, it says nothing any more
		}
	}
}

// baseMTU is the size that a connection goes back to, in two steps with IPv4.
func (c *Conn) baseMTU() int {
	switch {
	case !c.flow.Local.Is4():
		return baseMTU6
	case int(c.pathMTU) > baseMTU4:
		return baseMTU4
	}
	return minPathMTU4
}

// suspectBlackHole is called when a retransmission time-out, counted in c.retries, is to be answered: segments that are not
// small vanish again and again, and nothing tells why. Then smaller ones are sent (RFC 8899, section 4.3; RFC 4821, section
// 7.7).
func (t *Table) suspectBlackHole(now Time, c *Conn) {
	if c.opts.MTUProbing == MTUProbingOff || c.retries <= blackHoleRetries || c.flight.empty() {
		return
	}
	base := c.baseMTU()
	if int(c.pathMTU) <= base || c.flight.first().len() <= base-c.headers() {
		return
	}
	t.counters.BlackHoles++
	t.beginSearch(now, c, uint16(base), 0)
}

// searchPath lets a connection that searches follow its path.
func (t *Table) searchPath(now Time, c *Conn) {
	t.limitSearch(now, c)
	s := t.searchOf(c)
	if s.again != 0 && s.again <= now {
		*s = mtuSearch{low: s.low}
		t.limitSearch(now, c)
	}
	if s.low != c.pathMTU {
		c.setPathMTU(s.low)
	}
}

// next returns the size to try, 0 when the search is over. The middle, as in Linux; in the end the limit itself, if nothing
// has spoken against it.
func (s *mtuSearch) next() uint16 {
	switch gap := int(s.high) - int(s.low); {
	case gap >= searchThreshold:
		return s.low + uint16(gap/2)
	case gap > 0 && s.high == s.limit:
		return s.high
	}
	return 0
}

// emitMTUProbe sends the next data as one segment that is larger than what is known to pass, when it would be found out soon
// if it is lost: there is enough to follow it, and nothing else is amiss (RFC 4821, section 7.4).
func (t *Table) emitMTUProbe(now Time, c *Conn, out *ip.Outgoing) bool {
	s := t.searchOf(c)
	f := &c.flight
	if s.again != 0 || s.size != 0 || c.recovery.kind != recoverNone || f.lost > 0 || f.sacked > 0 || c.tlp.out ||
		c.urgent || c.ecn.hold || c.release > now || int(c.segmentPayload()) != int(c.snd.mss) {
		return false
	}
	size := s.next()
	if size == 0 {
		t.searched(now, c)
		return false
	}
	mss := int(c.snd.mss)
	n := int(size) - c.headers()
	need := n + searchBehind*mss
	if int(c.cc.cwnd) < searchWindow*mss || c.unsent() < need || c.snd.windowRoom() < need || c.cwndRoom() < n+mss {
		return false
	}
	s.size, s.end = size, c.snd.nxt.Add(n)
	t.counters.MTUProbes++
	t.emitNew(now, c, n, false, n, probing, out)
	return true
}

// searched ends a search. A path that is narrower than link, peer and routers say is remembered for the next connections.
func (t *Table) searched(now Time, c *Conn) {
	s := t.searchOf(c)
	s.again = now.Add(searchAgain)
	if s.high < s.limit {
		t.rememberSearched(now, c.flow.Remote, s.low)
	}
}

// probeArrived takes the acknowledgement of a probe.
func (t *Table) probeArrived(c *Conn) {
	s := t.searchOf(c)
	if s.size == 0 || c.snd.una.Less(s.end) {
		return
	}
	s.low, s.size = s.size, 0
	c.setPathMTU(s.low)
}

// probeVanished takes the loss of a probe, the record at p: it was too big. But where segments before it are lost as well it may have
// been congestion, and says nothing of sizes (RFC 4821, section 7.6.4). Then probeVanished reports false.
func (t *Table) probeVanished(c *Conn, p place) bool {
	if c.recovery.kind == recoverNone && c.flight.lost == 0 {
		return t.probeTooBig(c, p)
	}
	if c.flight.at(p).fate&probing != 0 {
		t.searchOf(c).size = 0
	}
	return false
}

// probeTooBig ends the probe under way, if that is the record at p, which was too big, and that is no congestion (RFC 4821, section
// 7.6.2). Its data is sent again in segments that pass.
func (t *Table) probeTooBig(c *Conn, p place) bool {
	if c.flight.at(p).fate&probing == 0 {
		return false
	}
	s := t.searchOf(c)
	size := s.size
	s.size = 0
	if size == 0 {
		return false
	}
	s.high = min(s.high, size-1)
	c.flight.lose(p)
	c.recovery.first, c.recovery.tooBig = true, true
	t.counters.MTUProbesLost++
	t.want(c)
	return true
}
