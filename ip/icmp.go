package ip

// ICMPKind is what a control message means, for both families.
type ICMPKind uint8

const (
	// Ignored: nothing follows from the message, by choice (redirect, source quench, router and neighbour discovery, which
	// anybody can forge) or because it is unknown.
	Ignored ICMPKind = iota
	EchoRequest
	EchoReply
	PacketTooBig
	NetUnreachable
	HostUnreachable
	ProtocolUnreachable
	PortUnreachable
	AdminProhibited
	TimeExceeded
	ParameterProblem

	numICMPKinds
)

var icmpKindNames = [numICMPKinds]string{
	Ignored:             "ignored",
	EchoRequest:         "echo_request",
	EchoReply:           "echo_reply",
	PacketTooBig:        "packet_too_big",
	NetUnreachable:      "net_unreachable",
	HostUnreachable:     "host_unreachable",
	ProtocolUnreachable: "protocol_unreachable",
	PortUnreachable:     "port_unreachable",
	AdminProhibited:     "admin_prohibited",
	TimeExceeded:        "time_exceeded",
	ParameterProblem:    "parameter_problem",
}

// String returns the kind as a metric label.
func (k ICMPKind) String() string {
	if k >= numICMPKinds {
		return "unknown"
	}
	return icmpKindNames[k]
}

// isError reports whether messages of the kind carry a part of the packet they are about.
func (k ICMPKind) isError() bool { return k >= PacketTooBig && k < numICMPKinds }

// ICMP is a parsed control message. It is meant to be reused; Body is borrowed from the packet.
type ICMP struct {
	Kind       ICMPKind
	Code, Type uint8    // as on the wire
	MTU        int      // PacketTooBig: bytes of a whole packet; 0 from routers older than RFC 1191
	ID, Seq    uint16   // EchoRequest, EchoReply
	Embedded   Embedded // errors: the packet of ours that the message is about
	Body       []byte   // behind the eight bytes of header
}

// Embedded is what an ICMP error tells about the offending packet. Anybody can send such a message: whoever acts on it
// compares all of this with what he sent (RFC 5927, section 4).
type Embedded struct {
	Protocol         uint8
	Src, Dst         Addr   // Src is ours
	SrcPort, DstPort uint16 // TCP and UDP
	Seq              uint32 // TCP
}

const icmpHeaderLen = 8 // of all messages used here

// ICMPv4 types (RFC 792 and others).
const (
	type4EchoReply        = 0
	type4Unreachable      = 3
	type4Echo             = 8
	type4TimeExceeded     = 11
	type4ParameterProblem = 12
)

// ICMPv6 types (RFC 4443 and others).
const (
	type6Unreachable      = 1
	type6PacketTooBig     = 2
	type6TimeExceeded     = 3
	type6ParameterProblem = 4
	type6Informational    = 128 // and above
	type6Echo             = 128
	type6EchoReply        = 129
	type6Redirect         = 137
)

// unreachable4 translates the codes of ICMPv4 Destination Unreachable (RFC 792; RFC 1122, section 3.2.2.1; RFC 1812,
// section 5.2.7.1).
var unreachable4 = [...]ICMPKind{
	0:  NetUnreachable,
	1:  HostUnreachable,
	2:  ProtocolUnreachable,
	3:  PortUnreachable,
	4:  PacketTooBig,
	5:  HostUnreachable, // source route failed
	6:  NetUnreachable,  // unknown
	7:  HostUnreachable, // unknown
	8:  HostUnreachable, // source isolated
	9:  AdminProhibited, // network
	10: AdminProhibited, // host
	11: NetUnreachable,  // for this TOS
	12: HostUnreachable, // for this TOS
	13: AdminProhibited,
	14: AdminProhibited, // precedence violation
	15: AdminProhibited, // precedence cutoff
}

// unreachable6 translates the codes of ICMPv6 Destination Unreachable (RFC 4443, section 3.1).
var unreachable6 = [...]ICMPKind{
	0: NetUnreachable,
	1: AdminProhibited,
	2: HostUnreachable, // beyond the scope of the source address
	3: HostUnreachable,
	4: PortUnreachable,
	5: AdminProhibited, // source address failed a policy
	6: AdminProhibited, // reject route
}

func icmpKind4(kind, code uint8) ICMPKind {
	switch kind {
	case type4EchoReply:
		return EchoReply
	case type4Echo:
		return EchoRequest
	case type4Unreachable:
		if int(code) < len(unreachable4) {
			return unreachable4[code]
		}
	case type4TimeExceeded:
		return TimeExceeded
	case type4ParameterProblem:
		return ParameterProblem
	}
	return Ignored
}

func icmpKind6(kind, code uint8) ICMPKind {
	switch kind {
	case type6Unreachable:
		if int(code) < len(unreachable6) {
			return unreachable6[code]
		}
	case type6PacketTooBig:
		return PacketTooBig
	case type6TimeExceeded:
		return TimeExceeded
	case type6ParameterProblem:
		if code == codeUnknownNext {
			return ProtocolUnreachable
		}
		return ParameterProblem
	case type6Echo:
		return EchoRequest
	case type6EchoReply:
		return EchoReply
	}
	return Ignored
}
