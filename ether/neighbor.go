package ether

import "tcpd/ip"

// Times and counts of RFC 4861, section 10, for both families.
const (
	retransTimer        = 1 * second
	maxSolicit          = 3 // by multicast and by unicast
	reachableTime       = 30 * second
	delayFirstProbeTime = 5 * second

	// forgetAfter is how long a neighbor that is not sent to is remembered, as in Linux (gc_stale_time).
	forgetAfter = 60 * second
	// A neighbor whose address another MAC claims is asked more often, and given up sooner: this is how long the fail-over of
	// a router takes.
	challengeTimer = 250 * millisecond
	maxChallenge   = 2
	// maxDenied is how often the rate may keep us from asking for a neighbor at all, a second each, before it is given up.
	maxDenied = 10
)

// Route returns the MAC that a packet to dst has to be sent to. When it is not known, known is false, and the packet is given
// to Hold if the loss is Sent; else it is lost, and counted.
func (h *Host) Route(now Time, dst ip.Addr) (mac MAC, known bool, l Loss) {
	n, l := h.neighborFor(now, dst)
	if l != Sent {
		h.counters.Losses[l]++
		return MAC{}, false, l
	}
	if n == nil || n.state == incomplete {
		return MAC{}, false, Sent
	}
	return n.mac, true, Sent
}

// neighborFor returns the neighbor that packets to dst go to, nil if it is not in the table.
func (h *Host) neighborFor(now Time, dst ip.Addr) (*neighbor, Loss) {
	hop, l := h.nextHop(dst)
	if l != Sent {
		return nil, l
	}
	n := h.table.find(hop)
	if n == nil {
		return nil, Sent
	}
	n.used = now
	if n.state == reachable && now >= n.deadline {
		n.state = stale
	}
	if n.state == stale {
		n.state = delay
		h.schedule(n, now+delayFirstProbeTime)
	}
	return n, Sent
}

// nextHop returns the neighbor on the way to dst.
func (h *Host) nextHop(dst ip.Addr) (ip.Addr, Loss) {
	switch {
	case !h.Ready():
		return dst, NotReady
	case !dst.Unicast():
		return dst, NotUnicast
	case h.isOwn(dst):
		return dst, ToOurselves
	case h.onLink(dst):
		return dst, Sent
	}
	family := 1
	if dst.Is4() {
		family = 0
	}
	if g := h.gateway[family]; g != (ip.Addr{}) {
		return g, Sent
	}
	return dst, NoRoute
}

// Hold keeps a copy of a packet to dst until the neighbor has answered, in the place of an earlier one (RFC 1122, section
// 2.3.2.2: "at least one (the latest) packet"). It asks for the neighbor if nobody has yet.
func (h *Host) Hold(now Time, dst ip.Addr, packet []byte) Loss {
	l := h.hold(now, dst, packet)
	if l != Sent {
		h.counters.Losses[l]++
	}
	return l
}

func (h *Host) hold(now Time, dst ip.Addr, packet []byte) Loss {
	hop, l := h.nextHop(dst)
	if l != Sent {
		return l
	}
	n := h.table.find(hop)
	if n == nil {
		if n = h.makeRoom(hop); n == nil {
			return TableFull
		}
		n.state = incomplete
		h.ask(now, n)
	}
	n.used = now
	if n.held != nil {
		h.counters.Losses[Overtaken]++
	}
	n.held = append(append(n.held[:0], make([]byte, HeaderLen)...), packet...)
	h.counters.Held++
	if n.state != incomplete {
		h.release(n)
	}
	return Sent
}

// makeRoom makes an entry, at the cost of the neighbor that was asked for longest ago and has not answered. One that did is
// not given up for one that may not exist.
func (h *Host) makeRoom(a ip.Addr) *neighbor {
	if n := h.table.add(a); n != nil {
		return n
	}
	old := h.table.oldest()
	if old == nil {
		return nil
	}
	h.giveUp(old, Evicted)
	return h.table.add(a)
}

// giveUp removes a neighbor; what waits for it is lost.
func (h *Host) giveUp(n *neighbor, why Loss) {
	if n.held != nil {
		h.counters.Losses[why]++
	}
	h.table.remove(n)
}

// ask sends the next solicitation: to everybody while the MAC is not known, else to it alone.
func (h *Host) ask(now Time, n *neighbor) {
	h.schedule(n, now+retransTimer)
	if n.challenge {
		h.schedule(n, now+challengeTimer)
	}
	if n.state == incomplete && !h.mayAsk(now, n) {
		h.counters.SolicitLimit++
		return
	}
	n.tries++
	h.solicit(n)
}

// mayAsk reports whether the rate lets us ask everybody. A neighbor that was never asked for has not failed to answer.
func (h *Host) mayAsk(now Time, n *neighbor) bool {
	switch {
	case n.tries == 0 && h.budget.first(now):
		return true
	case n.tries == 0:
		n.denied++
	case h.budget.again(now):
		return true
	default:
		n.tries++
	}
	return false
}

// solicit sends a solicitation.
func (h *Host) solicit(n *neighbor) {
	h.counters.Solicitations++
	src := h.source(n.addr)
	if n.addr.Is4() {
		to := Broadcast
		if n.state == probe {
			to = n.mac
		}
		h.sendARP(to, arp{op: arpRequest, senderMAC: h.cfg.MAC, sender: src, target: n.addr})
		return
	}
	m := neighborMessage{src: src, dst: solicitedNode(n.addr), target: n.addr, mac: h.cfg.MAC}
	to := multicast6(m.dst)
	if n.state == probe {
		m.dst, to = n.addr, n.mac
	}
	h.sendND(to, m)
}

// schedule sets when something is to be done about n. The table's next deadline is never later.
func (h *Host) schedule(n *neighbor, at Time) {
	n.deadline = at
	h.next = min(h.next, at)
}

// advanceNeighbors does what is due, and finds the next deadline.
func (h *Host) advanceNeighbors(now Time) {
	h.next = never
	for i := range h.table.slots {
		n := &h.table.slots[i]
		if n.state == free {
			continue
		}
		if now >= n.deadline {
			h.expire(now, n)
		}
		if n.state != free {
			h.next = min(h.next, n.deadline)
		}
	}
}

// expire does what n's deadline was for.
func (h *Host) expire(now Time, n *neighbor) {
	switch n.state {
	case incomplete:
		if n.tries >= maxSolicit || n.denied >= maxDenied {
			h.giveUp(n, NoNeighbor)
			return
		}
		h.ask(now, n)
	case reachable, stale:
		n.state = stale
		if n.deadline = n.used + forgetAfter; now >= n.deadline {
			h.table.remove(n)
		}
	case delay:
		n.state, n.tries = probe, 0
		h.ask(now, n)
	case probe:
		if n.challenge && n.tries >= maxChallenge || n.tries >= maxSolicit {
			// The MAC is not there any more. Who has the address now?
			n.state, n.tries, n.denied, n.challenge, n.confirmed = incomplete, 0, 0, false, false
		}
		h.ask(now, n)
	}
}

// answered takes a neighbor's answer to us. That an answer comes proves the MAC only if we had none, or this one.
func (h *Host) answered(now Time, a ip.Addr, mac MAC, otherwise Drop) Drop {
	n := h.table.find(a)
	switch {
	case n == nil:
		return otherwise
	case n.state == incomplete:
		n.mac = mac
	case n.mac != mac:
		h.doubt(now, n)
		return Accepted
	}
	h.confirm(now, n)
	return Accepted
}

// confirm notes that a neighbor has answered.
func (h *Host) confirm(now Time, n *neighbor) {
	n.state, n.confirmed, n.challenge, n.tries = reachable, true, false, 0
	h.schedule(n, now+reachableTime/2+h.random.below(reachableTime)) // RFC 4861, section 6.3.2
	h.release(n)
}

// claimed takes what somebody tells everybody. It says nothing about neighbors that we do not deal with.
func (h *Host) claimed(now Time, a ip.Addr, mac MAC, otherwise Drop) Drop {
	n := h.table.find(a)
	switch {
	case n == nil || n.state == incomplete:
		return otherwise
	case n.mac != mac:
		h.doubt(now, n)
	}
	return Accepted
}

// learn remembers who asked for one of our addresses: we are about to answer him. It is a hint; nobody has to make room for it.
func (h *Host) learn(now Time, a ip.Addr, mac MAC) {
	if !a.Unicast() || !h.onLink(a) {
		return
	}
	n := h.table.find(a)
	switch {
	case n == nil:
		if n = h.table.add(a); n == nil {
			return
		}
		fallthrough
	case n.state == incomplete:
		n.mac, n.state, n.used, n.tries = mac, stale, now, 0
		h.schedule(n, now+forgetAfter)
		h.release(n)
	case n.mac != mac:
		h.doubt(now, n)
	}
}

// doubt asks the neighbor whether it is still there, because another MAC claims its address. Until it fails to answer it keeps
// it: anybody can claim (attacks by spoofed ARP), and a router that has really failed does not answer.
func (h *Host) doubt(now Time, n *neighbor) {
	if n.challenge {
		return
	}
	h.counters.Challenges++
	n.state, n.tries, n.challenge = probe, 0, true
	h.ask(now, n)
}

// release sends what waits for n.
func (h *Host) release(n *neighbor) {
	if n.held == nil {
		return
	}
	PutHeader(n.held, n.mac, h.cfg.MAC, n.held[HeaderLen:])
	h.out.hand(n.held)
	n.held = nil
	h.counters.Released++
}
