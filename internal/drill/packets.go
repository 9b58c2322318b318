package drill

import (
	"encoding/binary"
	"errors"

	"tcpd/ip"
	"tcpd/tcp"
)

var errForeign = errors.New("drill: a packet for an address that is not the peer's")

// pattern is byte i of the peer's stream, and of ours where a script gives no text.
func pattern(first uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		k := first + uint32(i)
		b[i] = byte(k ^ k>>8*31 ^ k>>16)
	}
	return b
}

// arrive hands a packet of the script to the table.
func (r *run) arrive(p *packet) {
	c, _ := r.talkOf(p)
	if p.icmp != nil {
		r.arriveICMP(p.icmp, c)
		return
	}
	h := header{
		flow: c.flow, seq: c.peer + p.seq, flags: p.flags, window: uint16(p.window), urgent: uint16(p.urgent), tos: p.net.tos,
		ttl: p.net.ttl, options: encodeOptions(r.withCookie(c.toWire(p.options))),
	}
	if p.flags&tcp.ACK != 0 {
		h.ack = c.iss + p.ack
	}
	first := p.seq
	if p.flags&tcp.SYN == 0 {
		first-- // the SYN is number 0, the first byte is number 1
	}
	var k ip.Packet
	if d := k.Parse(h.inbound(pattern(first, p.length)), ip.Offload{}); d != ip.DropNone {
		r.mismatch("the packet does not parse: %v", d)
		return
	}
	if d := r.table.Arrive(r.now, &k); d != tcp.DropNone {
		r.report.note(r.now, "(%v)", d)
	}
}

func (r *run) arriveICMP(m *icmp, c *conversation) {
	seq := c.iss + m.seq
	var k ip.Packet
	var parsed ip.ICMP
	d := k.Parse(m.unreachable(&c.flow, seq), ip.Offload{})
	if d == ip.DropNone {
		d = parsed.Parse(&k)
	}
	if d != ip.DropNone {
		r.mismatch("the ICMP message does not parse: %v", d)
		return
	}
	if parsed.Kind == ip.Ignored {
		return
	}
	if d := r.table.Unreachable(r.now, &parsed); d != tcp.DropNone {
		r.report.note(r.now, "(%v)", d)
	}
}

// toWire maps numbers in options that arrive: SACK blocks and TS ecr are in our space.
func (c *conversation) toWire(list []option) []option {
	out := append([]option(nil), list...)
	for i := range out {
		switch o := &out[i]; o.kind {
		case optSACK:
			o.blocks = append([]block(nil), o.blocks...)
			for j := range o.blocks {
				o.blocks[j].start += c.iss
				o.blocks[j].end += c.iss
			}
		case optTimestamps:
			o.ecr = c.stampToWire(o.ecr)
		}
	}
	return out
}

// withCookie puts the Fast Open cookie that left last in the place of TFO_COOKIE.
func (r *run) withCookie(list []option) []option {
	for i := range list {
		if list[i].cookie {
			list[i].raw = r.cookie
		}
	}
	return list
}

// stampToWire maps a timestamp that the script says we sent to what was sent.
func (c *conversation) stampToWire(script uint32) uint32 {
	if live, ok := c.stamps[script]; ok {
		return live
	}
	switch {
	case !c.seenTS:
		return script
	case c.first:
		return script + c.offset
	}
	return c.last
}

// record takes a packet apart that the table has sent.
func (r *run) record(o *ip.Outgoing) error {
	b := append([]byte(nil), o.Header...)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	var k ip.Packet
	if d := k.Parse(b, ip.Offload{}); d != ip.DropNone {
		r.mismatch("the table built a packet that does not parse: %v", d)
		return nil
	}
	if !k.TransportChecksumOK() {
		r.mismatch("the table built a packet with a wrong checksum")
	}
	if a := addresses[r.family]; k.Src != a.local || k.Dst != a.remote {
		return errForeign
	}
	r.check(&k, len(b))
	return nil
}

// check reads the TCP header and queues the segment.
func (r *run) check(k *ip.Packet, size int) {
	t := k.Payload
	if mtu := r.mtu(); size > mtu {
		r.mismatch("a packet of %d bytes left on a link with an MTU of %d", size, mtu)
	}
	at := ports{binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])}
	c := r.talk(at)
	raw, ack, offset := binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:]), int(t[12]>>4)*4
	s := segment{
		at: r.now, ports: at, flags: tcp.Flags(t[13]), window: int(binary.BigEndian.Uint16(t[14:])),
		urgent: int(binary.BigEndian.Uint16(t[18:])), tos: k.TOS, ttl: k.TTL, payload: append([]byte(nil), t[offset:]...),
	}
	if s.flags&tcp.SYN != 0 && (!c.knows || c.iss != raw) {
		if c.knows {
			c.written = nil
		}
		c.iss, c.knows = raw, true
	}
	if s.seq = raw - c.iss; raw == 0 && s.flags&tcp.RST != 0 {
		s.seq = 0 // the answer to a segment without ACK (RFC 9293, section 3.10.7.1)
	}
	if s.flags&tcp.ACK != 0 {
		s.ack = ack - c.peer
	}
	var err error
	if s.options, err = decodeOptions(t[tcpHeaderLen:offset]); err != nil {
		r.mismatch("%v", err)
	}
	c.fromWire(s.options)
	r.checkPayload(c, &s)
	r.sent = append(r.sent, s)
	r.report.sent(&s)
}

// fromWire maps SACK blocks that leave: they are in the peer's space. Timestamps are mapped when a line is compared.
func (c *conversation) fromWire(list []option) {
	for i := range list {
		switch o := &list[i]; o.kind {
		case optSACK:
			for j := range o.blocks {
				o.blocks[j].start -= c.peer
				o.blocks[j].end -= c.peer
			}
		case optTimestamps:
			c.last, c.seenTS = o.val, true
		}
	}
}

// checkPayload: what leaves is what was written.
func (r *run) checkPayload(c *conversation, s *segment) {
	if len(s.payload) == 0 || s.flags&tcp.RST != 0 {
		return
	}
	from := int(s.seq) - 1
	if s.flags&tcp.SYN != 0 {
		from++
	}
	if from < 0 || from+len(s.payload) > len(c.written) || string(c.written[from:from+len(s.payload)]) != string(s.payload) {
		r.mismatch("%v carries other bytes than were written", s)
	}
}

func (r *run) mtu() int {
	if r.family == IPv6 {
		return r.script.options.mtu + ip.HeaderLen6 - ip.HeaderLen4
	}
	return r.script.options.mtu
}
