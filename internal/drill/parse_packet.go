package drill

import (
	"encoding/hex"
	"math"
	"strings"

	"tcpd/ip"
	"tcpd/tcp"
)

var flagLetters = map[rune]tcp.Flags{
	'S': tcp.SYN, 'F': tcp.FIN, 'R': tcp.RST, 'P': tcp.PSH, '.': tcp.ACK, 'U': tcp.URG, 'E': tcp.ECE, 'W': tcp.CWR,
}

func (p *parser) packet() *packet {
	k := &packet{inbound: p.take().text == "<", window: -1, urgent: -1}
	if p.accept("[") {
		p.network(k)
	}
	if t := p.peek(); t.kind == tokenInteger && p.ahead(1).text == ">" {
		k.srcPort = uint16(p.integer("source port", 1, 65535))
		p.expect(">", "ports")
		k.dstPort = uint16(p.integer("destination port", 1, 65535))
	}
	if p.is("icmp") {
		p.icmp(k)
		return k
	}
	p.flags(k)
	k.seq, k.length = p.sequence(k.flags)
	p.fields(k)
	p.options(k)
	return k
}

// network takes what stands in brackets: ECN marks, tos, ttl.
func (p *parser) network(k *packet) {
	n := &k.net
	for {
		t := p.take()
		switch t.text {
		case "noecn", "ect1", "ect0", "ce":
			n.tos, n.mask = map[string]uint8{"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}[t.text], 3
		case "ect01":
			n.anyECT = true
			if k.inbound {
				p.stop(t, "ect01 is an expectation: it cannot arrive")
			}
		case "tos":
			n.tos, n.mask = uint8(p.integer("tos", 0, 255)), 255
		case "ttl":
			n.ttl = uint8(p.integer("ttl", 1, 255))
		default:
			p.stop(t, "want noecn, ect0, ect1, ect01, ce, tos or ttl in the brackets, got %v", t)
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect("]", "brackets")
}

// flags takes letters and the dot, or a dash for none.
func (p *parser) flags(k *packet) {
	if p.accept("-") {
		return
	}
	t, all := p.peek(), ""
	for w := t; w.kind == tokenWord || w.text == "."; w = p.peek() {
		if all != "" && w.start != p.list[p.i-1].end {
			break
		}
		all += p.take().text
	}
	if all == "" {
		p.stop(t, "want flags (SFRP.UEW or -), got %v", t)
	}
	for i, c := range all {
		f, ok := flagLetters[c]
		if !ok {
			p.stop(token{start: t.start + i}, "%q is not a flag; they are SFRP.UEW, or - for none", c)
		}
		k.flags |= f
	}
}

// sequence takes first:last(length).
func (p *parser) sequence(f tcp.Flags) (seq uint32, length int) {
	t := p.peek()
	seq = uint32(p.integer("sequence number", 0, math.MaxUint32))
	p.expect(":", "sequence numbers")
	end := uint32(p.integer("sequence number", 0, math.MaxUint32))
	p.expect("(", "sequence numbers")
	length = int(p.integer("length", 0, 1<<20))
	p.expect(")", "sequence numbers")
	if seq+uint32(length) != end {
		p.stop(t, "%d:%d is not %d bytes long", seq, end, length)
	}
	return seq, length
}

func (p *parser) fields(k *packet) {
	if k.inbound {
		k.window, k.urgent = 0, 0
	}
	if t := p.peek(); p.accept("ack") {
		k.ack = uint32(p.integer("ack", 0, math.MaxUint32))
		if k.flags&tcp.ACK == 0 && !k.inbound {
			p.stop(t, "an ack without the flag . never leaves")
		}
	} else if k.flags&tcp.ACK != 0 {
		p.stop(t, "the flag . is set: want ack and a number, got %v", t)
	}
	if p.accept("win") {
		k.window = int(p.integer("win", 0, 65535))
	}
	if p.accept("urg") {
		k.urgent = int(p.integer("urg", 0, 65535))
	}
}

func (p *parser) options(k *packet) {
	t := p.peek()
	if !p.is("<") {
		return
	}
	p.take()
	if p.accept("...") {
		if k.inbound {
			p.stop(t, "<...> is an expectation: a packet that arrives has options or none")
		}
		k.anyOptions = true
		p.expect(">", "options")
		return
	}
	for {
		k.options = append(k.options, p.tcpOption())
		if !p.accept(",") {
			break
		}
	}
	p.expect(">", "options")
	if n := len(encodeOptions(k.options)); n > 40 {
		p.stop(t, "the options take %d bytes; a header has room for 40", n)
	}
}

func (p *parser) tcpOption() option {
	number := func(kind byte, most int64) option {
		return option{kind: kind, value: uint32(p.integer("option", 0, most))}
	}
	switch t := p.take(); t.text {
	case "nop":
		return option{kind: optNop}
	case "eol":
		return option{kind: optEnd}
	case "mss":
		return number(optMSS, 65535)
	case "wscale":
		return number(optWindowScale, 255)
	case "sackOK":
		return option{kind: optSACKPermitted}
	case "sack":
		return p.sack()
	case "TS":
		p.expect("val", "TS")
		o := number(optTimestamps, math.MaxUint32)
		p.expect("ecr", "TS")
		o.val, o.value = o.value, 0
		o.ecr = uint32(p.integer("ecr", 0, math.MaxUint32))
		return o
	case "FO":
		o := option{kind: optFastOpen}
		switch {
		case p.is(",") || p.is(">"):
		case p.accept("TFO_COOKIE"):
			o.cookie = true
		default:
			o.raw = p.hex("FO")
		}
		return o
	case "bytes":
		return option{kind: optBytes, raw: p.hex("bytes")}
	default:
		p.stop(t, "%v is not an option: mss, wscale, sackOK, sack, TS, FO, nop, eol, bytes", t)
	}
	return option{}
}

func (p *parser) sack() option {
	o := option{kind: optSACK}
	for p.peek().kind == tokenInteger {
		start := uint32(p.integer("sack", 0, math.MaxUint32))
		p.expect(":", "sack")
		o.blocks = append(o.blocks, block{start, uint32(p.integer("sack", 0, math.MaxUint32))})
	}
	return o
}

func (p *parser) hex(what string) []byte {
	t := p.take()
	b, err := hex.DecodeString(strings.TrimPrefix(t.text, "0x"))
	if err != nil || len(b) == 0 {
		p.stop(t, "%s: want bytes in hexadecimal, got %v", what, t)
	}
	return b
}

// icmpNames are the codes of both families; each becomes that of the family of a run which means the same.
var icmpNames = map[string]ip.ICMPKind{
	"net_unreachable": ip.NetUnreachable, "host_unreachable": ip.HostUnreachable, "frag_needed": ip.PacketTooBig,
	"protocol_unreachable": ip.ProtocolUnreachable, "port_unreachable": ip.PortUnreachable,
	"net_prohibited": ip.AdminProhibited, "host_prohibited": ip.AdminProhibited, "packet_filtered": ip.AdminProhibited,
	"source_route_failed": ip.HostUnreachable, "no_route": ip.NetUnreachable, "admin_prohibited": ip.AdminProhibited,
	"addr_unreachable": ip.HostUnreachable,
}

func (p *parser) icmp(k *packet) {
	t := p.take()
	if !k.inbound {
		p.stop(t, "a table sends no ICMP")
	}
	m := &icmp{}
	k.icmp = m
	switch kind := p.take(); kind.text {
	case "unreachable":
		name := p.take()
		var ok bool
		if m.kind, ok = icmpNames[name.text]; !ok {
			p.stop(name, "%v is not a code of unreachable", name)
		}
	case "packet_too_big":
		m.kind = ip.PacketTooBig
	case "time_exceeded":
		m.kind = ip.TimeExceeded
	case "parameter_problem":
		m.kind = ip.ParameterProblem
	case "source_quench", "redirect":
		m.kind = ip.Ignored
	default:
		p.stop(kind, "%v is not a type of ICMP: unreachable, packet_too_big, time_exceeded, parameter_problem, source_quench", kind)
	}
	if p.accept("mtu") {
		m.mtu = int(p.integer("mtu", 0, 65535))
	}
	if p.accept("[") {
		m.seq, m.length = p.sequence(0)
		m.hasQuote = true
		p.expect("]", "the quoted segment")
	}
}
