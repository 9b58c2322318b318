package world

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
)

// What an attacker tries. The first four are those of the first generation of plans.
const (
	attackRST       = iota // within the window, but not exact
	attackRSTACK           // the same
	attackSYN              // within the window
	attackFutureAck        // acknowledges what was never sent
	attackOldAck           // data within the window that acknowledge what is too old
	attackSYNACK           // within the window
	attackBeyond           // data and FIN beyond any window
	numAttacks

	firstAttacks = attackOldAck
)

// forge lets an attacker who knows addresses, ports and the window, but not RCV.NXT, send a segment of his own. The
// connection must not mind (RFC 5961). SYN-SENT is spared: there a SYN of anybody is a simultaneous open.
func (l *direction) forge(o *ip.Outgoing) {
	b := flatten(nil, o)
	s := look(b)
	if s.flags()&(tcp.SYN|tcp.ACK) != tcp.ACK {
		return
	}
	top := l.top(s, string(flowOf(b)))
	if !l.dice.chance(l.plan.forge) {
		return
	}
	ahead := 1 + l.dice.Uint32N(1<<16)
	attack := l.dice.IntN(firstAttacks)
	if l.plan.attacks > firstAttacks && l.chaos.chance(0.4) {
		attack = firstAttacks + l.chaos.IntN(l.plan.attacks-firstAttacks)
	}
	if attack != attackOldAck && attack != attackBeyond {
		b = b[:len(b)-len(s.payload)]
	}
	if attack == attackSYNACK && s.flags()&tcp.RST != 0 {
		return // it answers a SYN, and tells SYN-SENT's number
	}
	if be := binary.BigEndian; l.w.opening(l.to, be.Uint16(s.header[2:]), be.Uint16(s.header)) {
		return
	}
	disguise(s, attack, top, ahead)
	setLength(b)
	i, p := l.w.newPacket()
	p.b, p.to, p.forged = append(p.b, b...), l.to, true
	p.offload = ip.Offload{Checksum: ip.ChecksumVouched}
	if l.w.trace != nil {
		l.w.tracePacket(l.to, b, "forged")
	}
	l.w.agenda.add(item{at: l.w.now, kind: itemPacket, index: i})
}

// opening: the connection between end i, with the port here, and its peer is in SYN-SENT. A server of Fast Open may send data
// before its SYN-ACK has arrived.
func (w *world) opening(i int, here, there uint16) bool {
	p, side := w.find(i, here, there)
	return p != nil && p.apps[side].conn != nil && !p.apps[side].over && p.apps[side].conn.State() == tcp.SynSent
}

// disguise makes a copy of a genuine segment the attacker's; top is the sequence number after all that was sent.
func disguise(s segment, attack int, top, ahead uint32) {
	be := binary.BigEndian
	seq, ack, flags := top+ahead, s.ack(), tcp.ACK
	switch attack {
	case attackRST:
		flags = tcp.RST
	case attackRSTACK:
		flags |= tcp.RST
	case attackSYN:
		flags = tcp.SYN
	case attackSYNACK:
		flags |= tcp.SYN
	case attackFutureAck:
		seq, ack = s.seq()-ahead, ack+1<<30+ahead
	case attackOldAck:
		seq, ack = top, ack-1<<30-ahead
		for i := range s.payload {
			s.payload[i] ^= 0x55
		}
	case attackBeyond:
		seq, flags = top+1<<30+ahead, tcp.ACK|tcp.FIN
	}
	be.PutUint32(s.header[atSeq:], seq)
	be.PutUint32(s.header[atAck:], ack)
	s.header[atFlags] = byte(flags)
}

// top returns the sequence number after all that this flow has sent.
func (l *direction) top(s segment, flow string) uint32 {
	if l.tops == nil {
		l.tops = make(map[string]uint32)
	}
	end := s.seq() + uint32(len(s.payload))
	if s.flags()&tcp.FIN != 0 {
		end++
	}
	if t, ok := l.tops[flow]; ok && int32(end-t) < 0 {
		end = t
	}
	l.tops[flow] = end
	return end
}
