package ether

import (
	"encoding/binary"

	"tcpd/ip"
)

// Arrive takes a frame. It returns the packet in it, borrowed from the frame, if it is one for the stack.
func (h *Host) Arrive(now Time, frame []byte) []byte {
	h.counters.FramesIn++
	packet, d := h.arrive(now, frame)
	switch {
	case d != Accepted:
		h.counters.Drops[d]++
	case packet != nil:
		h.counters.Delivered++
	default:
		h.counters.Handled++
	}
	return packet
}

// arrive judges the header of a frame and passes on what is behind it.
func (h *Host) arrive(now Time, frame []byte) ([]byte, Drop) {
	if len(frame) <= HeaderLen {
		return nil, FrameShort
	}
	dst, src, body := MAC(frame), MAC(frame[6:]), frame[HeaderLen:]
	switch {
	case !src.Valid() || src == h.cfg.MAC:
		return nil, FrameSource
	case dst != h.cfg.MAC && !dst.IsGroup():
		return nil, FrameForeign
	case h.phase == idle || h.phase == refused:
		return nil, Probing
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		return nil, h.arriveARP(now, body)
	case typeIPv4:
		if body[0]>>4 != 4 {
			return nil, FrameMismatch
		}
		return h.accept(dst, body)
	case typeIPv6:
		if body[0]>>4 != 6 {
			return nil, FrameMismatch
		}
		return h.arrive6(now, dst, src, body)
	}
	return nil, FrameType
}

// accept delivers a packet that came to us alone: "a host SHOULD silently discard a datagram that is received via a link-layer
// broadcast but does not specify an IP multicast or broadcast destination" (RFC 1122, section 3.3.6), and those mean nothing to
// TCP.
func (h *Host) accept(dst MAC, packet []byte) ([]byte, Drop) {
	switch {
	case dst.IsGroup():
		return nil, FrameGroup
	case !h.Ready():
		return nil, Probing
	}
	return packet, Accepted
}

// arrive6 looks for Neighbor Discovery, which is ours, and passes all else on. What is TCP already in its first header cannot be.
func (h *Host) arrive6(now Time, dst, src MAC, b []byte) ([]byte, Drop) {
	if len(b) > ip.HeaderLen6 && b[6] == ip.ProtocolTCP && !dst.IsGroup() {
		return h.accept(dst, b)
	}
	p := &h.packet
	if p.Parse(b, ip.Offload{}) != ip.DropNone {
		if dst.IsGroup() {
			return nil, NDParse
		}
		return h.accept(dst, b) // the stack counts what is wrong with it
	}
	switch {
	case dst.IsGroup() && isQuery(p):
		h.queried(now, p.Payload)
		return nil, Accepted
	case !isND(p):
		return h.accept(dst, b)
	}
	var m neighborMessage
	if d := m.parse(p); d != Accepted {
		return nil, d
	}
	if m.advertisement {
		return nil, h.arriveAdvertisement(now, &m, src)
	}
	return nil, h.arriveSolicitation(now, &m, src)
}

func (h *Host) arriveARP(now Time, b []byte) Drop {
	var a arp
	if d := a.parse(b); d != Accepted {
		return d
	}
	mine := h.isOwn(a.target)
	switch {
	case a.senderMAC == h.cfg.MAC:
		return FrameSource
	case h.isOwn(a.sender):
		h.contested(now, a.sender, a.senderMAC)
		return Accepted
	case a.sender.IsUnspecified() && mine && h.phase == probing:
		h.contested(now, a.target, a.senderMAC) // both of us are about to take it (RFC 5227, section 2.1.1)
		return Accepted
	case mine && !h.Ready():
		return Probing
	case mine && a.op == arpRequest:
		h.answerARP(&a)
		h.learn(now, a.sender, a.senderMAC)
		return Accepted
	case mine:
		return h.answered(now, a.sender, a.senderMAC, ARPUnsolicited)
	case a.sender == a.target:
		return h.claimed(now, a.sender, a.senderMAC, ARPUnsolicited)
	}
	return ARPForeign
}

func (h *Host) answerARP(a *arp) {
	h.counters.Answers++
	h.sendARP(a.senderMAC, arp{op: arpReply, senderMAC: h.cfg.MAC, sender: a.target, targetMAC: a.senderMAC, target: a.sender})
}

func (h *Host) arriveSolicitation(now Time, m *neighborMessage, from MAC) Drop {
	switch {
	case !h.isOwn(m.target):
		return NDForeign
	case h.phase == probing && m.src.IsUnspecified():
		h.contested(now, m.target, from) // both of us are about to take it (RFC 4862, section 5.4.3)
		return Accepted
	case !h.Ready():
		return Probing
	case h.isOwn(m.src):
		h.contested(now, m.src, from)
		return Accepted
	}
	h.answerSolicitation(m, from)
	if m.mac != (MAC{}) {
		h.learn(now, m.src, m.mac)
	}
	return Accepted
}

// answerSolicitation follows RFC 4861, section 7.2.4: to the asker, or to everybody when he has no address yet.
func (h *Host) answerSolicitation(m *neighborMessage, from MAC) {
	h.counters.Answers++
	reply := neighborMessage{
		src: m.target, dst: m.src, advertisement: true, solicited: true, override: true, target: m.target, mac: h.cfg.MAC,
	}
	to := from
	switch {
	case m.src.IsUnspecified():
		reply.dst, reply.solicited, to = allNodes, false, multicast6(allNodes)
	case m.mac != (MAC{}):
		to = m.mac
	}
	h.sendND(to, reply)
}

func (h *Host) arriveAdvertisement(now Time, m *neighborMessage, from MAC) Drop {
	switch {
	case h.isOwn(m.target):
		h.contested(now, m.target, from)
		return Accepted
	case m.mac == MAC{}:
		return h.sameAnswered(now, m)
	case m.solicited:
		return h.answered(now, m.target, m.mac, NDUnsolicited)
	}
	return h.claimed(now, m.target, m.mac, NDUnsolicited)
}

// sameAnswered takes an advertisement without a link-layer address, which an answer to a unicast solicitation may be.
func (h *Host) sameAnswered(now Time, m *neighborMessage) Drop {
	n := h.table.find(m.target)
	if n == nil || n.state == incomplete || !m.solicited {
		return NDUnsolicited
	}
	h.confirm(now, n)
	return Accepted
}

func (h *Host) sendARP(to MAC, a arp) {
	b := h.out.add(HeaderLen + arpLen)
	putHeader(b, to, h.cfg.MAC, typeARP)
	a.put(b[HeaderLen:])
}

func (h *Host) sendND(to MAC, m neighborMessage) {
	b := h.out.add(HeaderLen + m.len())
	putHeader(b, to, h.cfg.MAC, typeIPv6)
	m.put(b[HeaderLen:])
}
