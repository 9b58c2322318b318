package drill

import (
	"tcpd/ip"
	"tcpd/tcp"
)

// Script is a script that was read.
type Script struct {
	Name    string
	options settings
	init    []string // commands before the first event
	events  []event
}

// settings are the options at the top of a script.
type settings struct {
	family     string // of --ip_version: "", ipv4 or ipv6
	tolerance  tcp.Duration
	mtu        int
	ignorePSH  bool
	ignoreRest bool
	tick       tcp.Duration // of our timestamp clock; 0: values are not compared
	port       uint16       // of bind
	remotePort uint16       // of connect
}

// event is a line of a script.
type event struct {
	line   int
	text   string
	when   when
	action action
}

// action is one of *packet, *call, command, code.
type action any

// when says at which time an event happens, or has to.
type when struct {
	relative   bool // to the event before
	any        bool
	ranged     bool // a packet may leave from start to end
	blocking   bool // a call returns at end
	start, end tcp.Duration
}

// packet is a segment or control message as a script writes it. Sequence numbers are relative to the initial ones.
type packet struct {
	inbound          bool
	srcPort, dstPort uint16 // 0: those of the conversation
	net              network
	flags            tcp.Flags
	seq              uint32
	length           int
	ack              uint32
	window           int // -1: not compared
	urgent           int // -1: not compared
	options          []option
	anyOptions       bool
	icmp             *icmp
}

// network is what a packet says in front of its flags, in brackets.
type network struct {
	tos    uint8
	mask   uint8 // which bits of tos are compared
	anyECT bool  // ECT(0) or ECT(1)
	ttl    uint8 // 0: not compared
}

// icmp is an error about a segment of ours.
type icmp struct {
	kind     ip.ICMPKind
	mtu      int
	seq      uint32
	length   int
	hasQuote bool
}

// option is a TCP option, of a script or of a packet.
type option struct {
	kind     byte
	value    uint32 // mss, wscale
	val, ecr uint32 // TS
	blocks   []block
	raw      []byte // FO cookie, unknown kinds, bytes
	cookie   bool   // FO TFO_COOKIE: the one that left last
}

type block struct{ start, end uint32 }

// call is a call of the application.
type call struct {
	name   string
	args   []value
	result value
	errno  string
}

// value is an argument or a result.
type value struct {
	any    bool
	number int64
	isNum  bool
	words  []string // A|B
	text   string
	isText bool
	list   []value // [a, b]
	fields fields  // {a=1, b=2}
}

type field struct {
	name  string
	value value
}

type fields []field

// list is the array of a field; nil: there is none.
func (f fields) list(name string) []value {
	for _, x := range f {
		if x.name == name {
			return x.value.list
		}
	}
	return nil
}

func (f fields) get(name string) (int64, bool) {
	for _, x := range f {
		if x.name == name {
			return x.value.number, x.value.isNum
		}
	}
	return 0, false
}

// command is a shell line of which only the settings are understood.
type command string

// code is a list of assertions.
type code []assertion

// assertion has to hold; with print it only says what it is.
type assertion struct {
	text  string
	expr  expr
	print bool
}
