package world

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
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
	b = b[:len(b)-len(s.payload)]
	ahead := 1 + l.dice.Uint32N(1<<16)
	binary.BigEndian.PutUint32(s.header[atSeq:], top+ahead)
	switch l.dice.IntN(4) {
	case 0:
		s.header[atFlags] = byte(tcp.RST)
	case 1:
		s.header[atFlags] = byte(tcp.RST | tcp.ACK)
	case 2:
		s.header[atFlags] = byte(tcp.SYN)
	case 3:
		s.header[atFlags] = byte(tcp.ACK)
		binary.BigEndian.PutUint32(s.header[atSeq:], s.seq()-ahead)
		binary.BigEndian.PutUint32(s.header[atAck:], s.ack()+1<<30+ahead)
	}
	setLength(b)
	i, p := l.w.newPacket()
	p.b, p.to, p.corrupted = append(p.b[:0], b...), l.to, false
	p.offload = ip.Offload{Checksum: ip.ChecksumVouched}
	if l.w.trace != nil {
		l.w.tracePacket(l.to, b, "forged")
	}
	l.w.agenda.add(item{at: l.w.now, kind: itemPacket, index: i})
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
