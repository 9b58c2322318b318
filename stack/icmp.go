package stack

import (
	"encoding/binary"

	"tcpd/ip"
	"tcpd/tcp"
)

// arriveICMP handles a control message to an address of ours.
func (r *reader) arriveICMP(p *ip.Packet) {
	m := &r.icmp
	if d := m.Parse(p); d != ip.DropNone {
		r.counters.dropIP(d)
		return
	}
	switch m.Kind {
	case ip.EchoRequest:
		r.answerEcho(p)
	case ip.EchoReply:
		if !r.stack.pings.answered(p.Src, m.ID, m.Seq) {
			r.counters.drop(DropICMPIgnored)
			return
		}
		r.counters.delivered.Add(1)
	case ip.Ignored:
		r.counters.drop(DropICMPIgnored)
	default:
		r.arriveError(m)
	}
}

// arriveError hands an error to the connection whose segment it quotes; whether to believe it is decided there.
func (r *reader) arriveError(m *ip.ICMP) {
	e := &m.Embedded
	if e.Protocol != ip.ProtocolTCP {
		r.counters.drop(DropICMPProtocol)
		return
	}
	sh := r.stack.owner(&tcp.Flow{Local: e.Src, Remote: e.Dst, LocalPort: e.SrcPort, RemotePort: e.DstPort})
	now := sh.lockAt(r.now)
	d := sh.table.Unreachable(now, m)
	sh.mu.Unlock()
	r.counters.fate(d)
	r.touch(sh)
}

// answerEcho returns an echo request. The answer is as large as the request and goes where that came from, a single host:
// it amplifies nothing.
func (r *reader) answerEcho(p *ip.Packet) {
	if !r.stack.limiter.echo(r.now) {
		r.counters.drop(DropICMPEchoRate)
		return
	}
	n, ok := ip.PutEchoReply(r.buffer(len(p.Header)+len(p.Payload)), p)
	if !ok {
		r.counters.drop(DropICMPEcho)
		return
	}
	r.counters.delivered.Add(1)
	r.counters.echoReplies.Add(1)
	if mtu := r.stack.link.MTU(); n > mtu {
		fragment(r.reply[:n], mtu, r.stack.fragmentID.Add(1), r.write)
		return
	}
	r.write(r.reply[:n])
}

// answerUnreachable tells the sender of p why it was dropped, as often as the limits allow.
func (r *reader) answerUnreachable(kind ip.ICMPKind, p *ip.Packet) {
	n, ok := ip.PutUnreachable(r.buffer(ip.MaxICMPError), kind, p.Dst, p, 0)
	if !ok {
		return
	}
	if !r.stack.limiter.error(r.now, p.Src) {
		r.counters.icmpErrorsLimited.Add(1)
		return
	}
	r.counters.icmpErrors.Add(1)
	r.write(r.reply[:n])
}

// answerParameterProblem answers an IPv6 packet whose extension headers ask for it (RFC 8200, section 4.2).
func (r *reader) answerParameterProblem(p *ip.Packet, d ip.Drop) {
	switch d {
	case ip.DropIPv6Option, ip.DropIPv6Routing, ip.DropIPv6ExtensionOrder:
		own := r.stack.addresses
		if p.Martian() == ip.DropNone && own.has(p.Dst) && !own.has(p.Src) {
			r.answerUnreachable(ip.ParameterProblem, p)
		}
	}
}

// buffer returns room for an answer of n bytes, which lasts until the next call.
func (r *reader) buffer(n int) []byte {
	if cap(r.reply) < n {
		r.reply = make([]byte, n)
	}
	r.reply = r.reply[:n]
	return r.reply
}

// write sends a whole packet by the reader's own queue.
func (r *reader) write(b []byte) {
	network := ip.HeaderLen6
	if b[0]>>4 == 4 {
		network = ip.HeaderLen4
	}
	r.out = ip.Outgoing{Header: b, NetworkLen: network}
	r.counters.packetsOut.Add(1)
	r.counters.outLen.Add(uint64(len(b)))
	if err := r.stack.link.Write(r.queue, &r.out); err != nil {
		r.counters.writeErrors.Add(1)
		r.stack.logWriteError(err)
	}
}

// fragment cuts a packet without extension headers, larger than mtu, into fragments (RFC 791, section 3.2; RFC 8200, section
// 4.5). Only answers to pings that were fragmented themselves need it: TCP never sends what does not fit.
func fragment(packet []byte, mtu int, id uint32, emit func([]byte)) {
	const fragmentHeaderLen = 8
	v4 := packet[0]>>4 == 4
	fixed, header := ip.HeaderLen6, ip.HeaderLen6+fragmentHeaderLen
	if v4 {
		fixed, header = ip.HeaderLen4, ip.HeaderLen4
	}
	data := packet[fixed:]
	unit := (mtu - header) &^ 7
	if unit <= 0 {
		return
	}
	out := make([]byte, header+unit)
	for at := 0; at < len(data); at += unit {
		n := min(unit, len(data)-at)
		copy(out, packet[:fixed])
		more := at+n < len(data)
		if v4 {
			putFragment4(out[:header], n, at, more, uint16(id))
		} else {
			putFragment6(out[:header], n, at, more, id)
		}
		copy(out[header:], data[at:at+n])
		emit(out[:header+n])
	}
}

func putFragment4(h []byte, n, at int, more bool, id uint16) {
	be := binary.BigEndian
	be.PutUint16(h[2:], uint16(len(h)+n))
	be.PutUint16(h[4:], id)
	field := uint16(at / 8)
	if more {
		field |= 0x2000
	}
	be.PutUint16(h[6:], field)
	be.PutUint16(h[10:], 0)
	be.PutUint16(h[10:], ^ip.Sum(h, 0))
}

func putFragment6(h []byte, n, at int, more bool, id uint32) {
	const nextHeader, fragmentHeader = 6, 44
	be := binary.BigEndian
	be.PutUint16(h[4:], uint16(len(h)-ip.HeaderLen6+n))
	f := h[ip.HeaderLen6:]
	f[0], f[1] = h[nextHeader], 0
	h[nextHeader] = fragmentHeader
	field := uint16(at)
	if more {
		field |= 1
	}
	be.PutUint16(f[2:], field)
	be.PutUint32(f[4:], id)
}
