package world

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
)

// narrow is a time in which a router on the way passes packets up to some length only.
type narrow struct {
	interval
	mtu    int
	silent bool // it does not say so: a black hole
}

// narrows returns the router that a packet with segments of this length does not pass, nil when there is none.
func (l *direction) narrows(now tcp.Time, o *ip.Outgoing) *narrow {
	n := o.Len()
	if s := int(o.Offload.SegmentSize); s > 0 {
		n = min(n, len(o.Header)+s)
	}
	for i := range l.plan.narrow {
		if r := &l.plan.narrow[i]; r.has(now) && n > r.mtu {
			return r
		}
	}
	return nil
}

// complain sends an ICMP error about a packet back to its sender, from somewhere on the way.
func (l *direction) complain(kind ip.ICMPKind, o *ip.Outgoing, mtu int) {
	l.icmp(kind, flatten(nil, o), mtu, false)
}

// blindError sends an ICMP error of an attacker who knows addresses and ports, but not what is in flight (RFC 5927).
func (l *direction) blindError(o *ip.Outgoing) {
	b := flatten(nil, o)
	s := look(b)
	if s.flags()&(tcp.SYN|tcp.RST) != 0 {
		return
	}
	far := l.top(s, string(flowOf(b))) + 1<<29 + l.chaos.Uint32N(1<<29) // more than can be sent before it arrives
	binary.BigEndian.PutUint32(s.header[atSeq:], far)
	kind := pick(l.chaos, ip.PacketTooBig, ip.PortUnreachable, ip.ProtocolUnreachable, ip.AdminProhibited, ip.HostUnreachable,
		ip.NetUnreachable, ip.TimeExceeded)
	l.icmp(kind, b, 68+l.chaos.IntN(1400), true)
}

// icmp puts an error message about packet b on the agenda of its sender.
func (l *direction) icmp(kind ip.ICMPKind, b []byte, mtu int, forged bool) {
	offending := &l.quoted
	if d := offending.Parse(b, ip.Offload{Checksum: ip.ChecksumVouched}); d != ip.DropNone {
		l.w.failf("a packet that leaves cannot be parsed: %v", d)
	}
	var dst [ip.MaxICMPError]byte
	n, ok := ip.PutUnreachable(dst[:], kind, l.w.plan.router(), offending, mtu)
	if !ok {
		return
	}
	i, p := l.w.newPacket()
	p.b, p.to, p.icmp, p.forged = append(p.b, dst[:n]...), 1-l.to, true, forged
	if l.w.trace != nil {
		l.w.printf("end %d <  ICMP %v, mtu %d, forged %v, about %s", 1-l.to, kind, mtu, forged, l.w.relative(b))
	}
	l.w.agenda.add(item{at: l.w.now.Add(l.chaos.upTo(2*l.plan.delay) + 1), kind: itemPacket, index: i})
}

// router is the address of a router on the way.
func (p *plan) router() ip.Addr {
	if p.v6 {
		return ip.Addr{0: 0xfd, 15: 99}
	}
	return ip.Addr4([4]byte{10, 0, 0, 99})
}

// control takes an ICMP message.
func (e *end) control(p *packet) {
	var m ip.ICMP
	if d := m.Parse(&e.parsed); d != ip.DropNone {
		e.w.failf("end %d: a good ICMP message is dropped: %v", e.index, d)
	}
	e.icmpIn++
	d := e.table.Unreachable(e.clock(), &m)
	if e.w.trace != nil {
		e.w.printf("end %d <  ICMP %v, mtu %d  [%v]", e.index, m.Kind, m.MTU, d)
	}
	if p.forged && d != tcp.DropICMPSequence && d != tcp.DropICMPFlow {
		e.w.failf("end %d: a blind ICMP message, %v, gets through", e.index, m.Kind)
	}
}

// complains reports whether routers send errors about what is lost.
func (w *world) complains() bool { return w.plan.links[0].soft > 0 || w.plan.links[1].soft > 0 }
