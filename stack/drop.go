package stack

// Drop says why the stack did not deliver a packet that package ip had nothing against. The reasons of packages ip and tcp
// are counted beside these; each packet has exactly one of all.
type Drop uint8

// The reasons.
const (
	DropNone              Drop = iota
	DropNotOurs                // the destination is no address of ours
	DropSourceOurs             // the source is an address of ours
	DropSourceBroadcast        // the source is the broadcast address of one of our networks
	DropProtocol               // a protocol that we do not speak; ICMP says so
	DropUDPPort                // UDP, which has no port here; ICMP says so
	DropUDPChecksum            // UDP with a wrong checksum
	DropICMPIgnored            // a control message from which nothing follows
	DropICMPEcho               // an echo request that cannot be answered
	DropICMPEchoRate           // more echo requests than we answer
	DropICMPProtocol           // an error about a packet other than TCP: we did not send it
	DropSourceConnections      // the source has as many connections as it may have
	DropSourceRate             // the source opens connections faster than it may
	DropClosed                 // the stack is closed
	NumDrops
)

var dropNames = [NumDrops]string{
	DropNone:              "none",
	DropNotOurs:           "not_ours",
	DropSourceOurs:        "source_ours",
	DropSourceBroadcast:   "source_broadcast",
	DropProtocol:          "protocol",
	DropUDPPort:           "udp_port",
	DropUDPChecksum:       "udp_checksum",
	DropICMPIgnored:       "icmp_ignored",
	DropICMPEcho:          "icmp_echo_unanswerable",
	DropICMPEchoRate:      "icmp_echo_rate",
	DropICMPProtocol:      "icmp_not_tcp",
	DropSourceConnections: "source_connections",
	DropSourceRate:        "source_rate",
	DropClosed:            "stack_closed",
}

// String returns the reason as a metric label.
func (d Drop) String() string {
	if d >= NumDrops {
		return "unknown"
	}
	return dropNames[d]
}
