package ether

import "tcpd/ip"

// The check of our addresses (RFC 5227, section 1.1). IPv6 asks as often where there is IPv4 too, and else once, as RFC 4862,
// section 5.1, has it.
const (
	probeWait        = 1 * second // the most that the first probe is delayed by
	probeCount       = 3
	probeMin         = 1 * second // between two probes
	probeMax         = 2 * second
	announceWait     = 2 * second // after the last probe; a second is enough for IPv6
	announceWait6    = 1 * second
	announceCount    = 2
	announceInterval = 2 * second
	defendInterval   = 10 * second // an address is not defended more often
)

// Start begins the check whether somebody has one of our addresses. Until it is over nothing is delivered or sent.
func (h *Host) Start(now Time) {
	h.phase, h.round = probing, 0
	h.turn = now + h.random.below(probeWait)
}

// Announce tells everybody again where our addresses are: the link was down, or is another one.
func (h *Host) Announce(now Time) {
	if h.phase == announcing || h.phase == settled {
		h.phase, h.round, h.turn = announcing, 0, now
	}
}

// Ready reports whether our addresses are ours.
func (h *Host) Ready() bool { return h.phase == announcing || h.phase == settled }

// Conflict returns the last one who claimed one of our addresses, and whether there was one. If it was during the check, the
// host refuses to work.
func (h *Host) Conflict() (c Conflict, refuses bool) { return h.conflict, h.phase == refused }

func (h *Host) has4() bool {
	for _, p := range h.cfg.Addresses {
		if p.Addr().Is4() {
			return true
		}
	}
	return false
}

// takeTurn sends the next round of probes or announcements.
func (h *Host) takeTurn(now Time) {
	switch h.phase {
	case probing:
		h.probeRound(now)
	case announcing:
		h.report(mldToExclude)
		for _, p := range h.cfg.Addresses {
			h.announce(ip.AddrFrom(p.Addr()))
		}
		h.turn = now + announceInterval
		if h.round++; h.round >= announceCount {
			h.phase, h.turn = settled, never
		}
	}
}

func (h *Host) probeRound(now Time) {
	rounds, wait := 1, Time(announceWait6)
	if h.has4() {
		rounds, wait = probeCount, announceWait
	}
	if h.round == rounds {
		h.phase, h.round = announcing, 0
		h.takeTurn(now)
		return
	}
	h.report(mldToExclude) // before the question: who has the address answers to its group (RFC 4862, section 5.4.2)
	for _, p := range h.cfg.Addresses {
		h.probe(ip.AddrFrom(p.Addr()))
	}
	h.turn = now + probeMin + h.random.below(probeMax-probeMin)
	if h.round++; h.round == rounds {
		h.turn = now + wait
	}
}

// probe asks whether somebody has an address of ours.
func (h *Host) probe(a ip.Addr) {
	if a.Is4() {
		h.sendARP(Broadcast, arp{op: arpRequest, senderMAC: h.cfg.MAC, sender: ip.Addr4([4]byte{}), target: a})
		return
	}
	h.sendND(multicast6(solicitedNode(a)), neighborMessage{dst: solicitedNode(a), target: a})
}

// announce tells everybody that an address is ours: a gratuitous request (RFC 5227, section 2.3), an unsolicited advertisement
// (RFC 4861, section 7.2.6).
func (h *Host) announce(a ip.Addr) {
	if a.Is4() {
		h.sendARP(Broadcast, arp{op: arpRequest, senderMAC: h.cfg.MAC, sender: a, target: a})
		return
	}
	h.sendND(multicast6(allNodes), neighborMessage{
		src: a, dst: allNodes, advertisement: true, override: true, target: a, mac: h.cfg.MAC,
	})
}

// contested takes note of somebody else who claims an address of ours. During the check that is the end. Afterwards the address
// is kept and defended, at intervals (RFC 5227, section 2.4 (c)): connections depend on it.
func (h *Host) contested(now Time, a ip.Addr, by MAC) {
	h.counters.Conflicts++
	h.conflict = Conflict{a, by, now}
	switch {
	case h.phase == probing:
		h.phase, h.turn = refused, never
	case h.Ready() && now >= h.defend:
		h.defend = now + defendInterval
		h.counters.Defended++
		h.announce(a)
	}
}
