package drill

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tcpd/ip"
	"tcpd/tcp"
)

// Option kinds (IANA), and one of our own for raw bytes.
const (
	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWindowScale   = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
	optFastOpen      = 34
	optBytes         = 255
)

// encodeOptions writes options as they are on the wire, without padding.
func encodeOptions(list []option) []byte {
	var b []byte
	for _, o := range list {
		switch o.kind {
		case optEnd, optNop:
			b = append(b, o.kind)
		case optBytes:
			b = append(b, o.raw...)
		default:
			v := o.encodeValue()
			b = append(append(b, o.kind, byte(2+len(v))), v...)
		}
	}
	return b
}

func (o *option) encodeValue() (b []byte) {
	switch o.kind {
	case optMSS:
		return binary.BigEndian.AppendUint16(nil, uint16(o.value))
	case optWindowScale:
		return []byte{byte(o.value)}
	case optTimestamps:
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, o.val), o.ecr)
	case optSACK:
		for _, x := range o.blocks {
			b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, x.start), x.end)
		}
		return b
	}
	return o.raw
}

// decodeOptions reads an options field that a table has written; padding is left out.
func decodeOptions(b []byte) (list []option, err error) {
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return nil, fmt.Errorf("malformed options %x", b)
		}
		list = append(list, decodeOption(b[0], b[2:b[1]]))
		b = b[b[1]:]
	}
	return list, nil
}

func decodeOption(kind byte, v []byte) option {
	o := option{kind: kind}
	switch {
	case kind == optMSS && len(v) == 2:
		o.value = uint32(binary.BigEndian.Uint16(v))
	case kind == optWindowScale && len(v) == 1:
		o.value = uint32(v[0])
	case kind == optTimestamps && len(v) == 8:
		o.val, o.ecr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	case kind == optSACK && len(v)%8 == 0:
		for ; len(v) > 0; v = v[8:] {
			o.blocks = append(o.blocks, block{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])})
		}
	default:
		o.raw = append(o.raw, v...)
	}
	return o
}

func (o option) String() string {
	switch o.kind {
	case optEnd:
		return "eol"
	case optNop:
		return "nop"
	case optMSS:
		return fmt.Sprintf("mss %d", o.value)
	case optWindowScale:
		return fmt.Sprintf("wscale %d", o.value)
	case optSACKPermitted:
		return "sackOK"
	case optTimestamps:
		return fmt.Sprintf("TS val %d ecr %d", o.val, o.ecr)
	case optFastOpen:
		return strings.TrimSpace(fmt.Sprintf("FO %x", o.raw))
	case optSACK:
		s := "sack"
		for _, x := range o.blocks {
			s += fmt.Sprintf(" %d:%d", x.start, x.end)
		}
		return s
	case optBytes:
		return fmt.Sprintf("bytes 0x%x", o.raw)
	}
	return fmt.Sprintf("kind %d 0x%x", o.kind, o.raw)
}

// segment is a segment that a table sent: numbers relative to both initial sequence numbers.
type segment struct {
	at       tcp.Time
	ports    ports
	flags    tcp.Flags
	seq, ack uint32
	window   int
	urgent   int
	options  []option
	payload  []byte
	tos, ttl uint8
}

func (s *segment) String() string {
	var b strings.Builder
	if s.tos&3 != 0 {
		b.WriteString("[" + ecnNames[s.tos&3] + "] ")
	}
	b.WriteString(flagString(s.flags))
	fmt.Fprintf(&b, " %d:%d(%d)", s.seq, s.seq+uint32(len(s.payload)), len(s.payload))
	if s.flags&tcp.ACK != 0 {
		fmt.Fprintf(&b, " ack %d", s.ack)
	}
	fmt.Fprintf(&b, " win %d", s.window)
	if len(s.options) > 0 {
		b.WriteString(" <" + optionsString(s.options) + ">")
	}
	return b.String()
}

func optionsString(list []option) string {
	var names []string
	for _, o := range list {
		names = append(names, o.String())
	}
	return strings.Join(names, ",")
}

func flagString(f tcp.Flags) string {
	var b strings.Builder
	for _, c := range "SFRPEWU." {
		if f&flagLetters[c] != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

const tcpHeaderLen = 20

// header is a TCP header for the wire: raw numbers.
type header struct {
	flow           tcp.Flow // as the table sees it
	seq, ack       uint32
	flags          tcp.Flags
	window, urgent uint16
	options        []byte
	tos, ttl       uint8
}

// inbound builds the whole packet that arrives, with complete checksums.
func (h *header) inbound(payload []byte) []byte {
	t := h.transport(payload)
	f := &h.flow
	sum := ^ip.Sum(t, ip.PseudoSum(f.Remote, f.Local, ip.ProtocolTCP, len(t)))
	binary.BigEndian.PutUint16(t[16:], sum)
	return wrap(ip.Header{Src: f.Remote, Dst: f.Local, Protocol: ip.ProtocolTCP, TOS: h.tos, TTL: h.ttl}, t)
}

func (h *header) transport(payload []byte) []byte {
	opts := h.options
	for len(opts)%4 != 0 {
		opts = append(opts[:len(opts):len(opts)], optEnd)
	}
	b := make([]byte, tcpHeaderLen, tcpHeaderLen+len(opts)+len(payload))
	binary.BigEndian.PutUint16(b[0:], h.flow.RemotePort)
	binary.BigEndian.PutUint16(b[2:], h.flow.LocalPort)
	binary.BigEndian.PutUint32(b[4:], h.seq)
	binary.BigEndian.PutUint32(b[8:], h.ack)
	b[12] = byte((tcpHeaderLen + len(opts)) / 4 << 4)
	b[13] = byte(h.flags)
	binary.BigEndian.PutUint16(b[14:], h.window)
	binary.BigEndian.PutUint16(b[18:], h.urgent)
	return append(append(b, opts...), payload...)
}

func wrap(h ip.Header, body []byte) []byte {
	h.PayloadLen = len(body)
	b := make([]byte, h.Len(), h.Len()+len(body))
	h.Put(b)
	return append(b, body...)
}

// unreachable builds an ICMP error about a segment of ours with this raw sequence number and payload length.
func (m *icmp) unreachable(f *tcp.Flow, seq uint32) []byte {
	quoted := header{
		flow: tcp.Flow{Local: f.Remote, Remote: f.Local, LocalPort: f.RemotePort, RemotePort: f.LocalPort},
		seq:  seq, flags: tcp.ACK,
	}
	inner := quoted.inbound(make([]byte, m.length))
	inner = inner[:min(len(inner), 540)]
	four := f.Local.Is4()
	kind, code, proto := m.wire(four)
	b := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, inner...)
	sum := uint16(0)
	if four {
		binary.BigEndian.PutUint16(b[6:], uint16(m.mtu))
	} else {
		mtu := m.mtu
		if mtu != 0 {
			mtu += ip.HeaderLen6 - ip.HeaderLen4
		}
		binary.BigEndian.PutUint32(b[4:], uint32(mtu))
		sum = ip.PseudoSum(f.Remote, f.Local, proto, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^ip.Sum(b, sum))
	return wrap(ip.Header{Src: f.Remote, Dst: f.Local, Protocol: proto}, b)
}

// wire returns type and code of a family.
func (m *icmp) wire(four bool) (kind, code, proto uint8) {
	type pair struct{ kind, code uint8 }
	if four {
		x := map[ip.ICMPKind]pair{
			ip.NetUnreachable: {3, 0}, ip.HostUnreachable: {3, 1}, ip.ProtocolUnreachable: {3, 2}, ip.PortUnreachable: {3, 3},
			ip.PacketTooBig: {3, 4}, ip.AdminProhibited: {3, 13}, ip.TimeExceeded: {11, 0}, ip.ParameterProblem: {12, 0},
			ip.Ignored: {4, 0},
		}[m.kind]
		return x.kind, x.code, ip.ProtocolICMP
	}
	x := map[ip.ICMPKind]pair{
		ip.NetUnreachable: {1, 0}, ip.HostUnreachable: {1, 3}, ip.ProtocolUnreachable: {4, 1}, ip.PortUnreachable: {1, 4},
		ip.PacketTooBig: {2, 0}, ip.AdminProhibited: {1, 1}, ip.TimeExceeded: {3, 0}, ip.ParameterProblem: {4, 0},
		ip.Ignored: {137, 0},
	}[m.kind]
	return x.kind, x.code, ip.ProtocolICMPv6
}
