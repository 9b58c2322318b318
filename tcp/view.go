package tcp

import "tcpd/ip"

// Range is the sequence space [Start, End).
type Range struct{ Start, End Seq }

// View is a segment as a bystander reads it, who knows no connection: what shows packets, or checks them.
type View struct {
	Flow     Flow // Local is the end that it goes to
	Seq, Ack Seq
	Flags    Flags
	Window   uint16 // as in the header, before scaling
	Payload  []byte // borrowed from the packet

	MSS           uint16 // 0: absent
	WindowScale   int    // -1: absent
	SACKPermitted bool
	HasTimestamps bool
	TSVal, TSEcr  uint32
	SACK          []Range // reused by the next Parse
}

// Parse reads the segment in p, which is borrowed. It judges what every receiver judges first: lengths, checksum, flags.
func (v *View) Parse(p *ip.Packet) Drop {
	var s segment
	if d := s.parse(p); d != DropNone {
		return d
	}
	o := &s.opts
	*v = View{
		Flow: Flow{Local: p.Dst, Remote: p.Src}, Seq: s.seq, Ack: s.ack, Flags: s.flags, Window: s.window, Payload: s.payload,
		MSS: o.mss, WindowScale: -1, SACKPermitted: o.sackPermitted, HasTimestamps: o.hasTimestamps, TSVal: o.tsVal, TSEcr: o.tsEcr,
		SACK: v.SACK[:0],
	}
	v.Flow.LocalPort, v.Flow.RemotePort = ports(p.Payload)
	if o.hasScale {
		v.WindowScale = int(o.scale)
	}
	for _, x := range o.sacks[:o.nsacks] {
		v.SACK = append(v.SACK, Range{x.start, x.end})
	}
	return DropNone
}

// End returns the sequence number after the segment: SYN and FIN count one each.
func (v *View) End() Seq {
	s := segment{seq: v.Seq, flags: v.Flags, payload: v.Payload}
	return s.end()
}
