package ether

// Drop says why a frame that arrived was neither delivered nor of use to us. The zero value: it was.
type Drop uint8

// The reasons, in the order in which they are looked for.
const (
	Accepted       Drop = iota
	FrameShort          // shorter than its header, or nothing behind it
	FrameSource         // from a group address, or from our own
	FrameForeign        // for another interface
	FrameType           // neither IPv4, ARP nor IPv6: spanning tree, VLAN tags, LLDP and others
	FrameMismatch       // the packet is not of the version that the frame announces
	FrameGroup          // a packet for everybody or for a group, other than those of ARP and Neighbor Discovery
	Probing             // an IP packet before the address check is over: the address is not yet ours
	ARPShort            // shorter than a packet for IPv4 over Ethernet
	ARPKind             // of other protocols, or neither request nor reply
	ARPSender           // the sender has no address of a single host
	ARPForeign          // about another host's address
	ARPUnsolicited      // tells of a host that we do not deal with
	NDParse             // an IPv6 packet in a group frame whose headers cannot be parsed
	NDExtension         // behind extension headers, as a fragment is (RFC 6980)
	NDHopLimit          // may have come through a router (RFC 4861, section 7.1)
	NDIgnored           // router discovery and redirects: routes are configured
	NDFormat            // lengths, code or options that cannot be
	NDChecksum          // a wrong checksum
	NDAddress           // addresses that do not fit each other
	NDForeign           // about another host's address
	NDUnsolicited       // tells of a host that we do not deal with
	NumDrops
)

var dropNames = [NumDrops]string{
	"accepted", "frame_short", "frame_source", "frame_foreign", "frame_type", "frame_mismatch", "frame_group",
	"address_check", "arp_short", "arp_kind", "arp_sender", "arp_foreign", "arp_unsolicited", "nd_parse", "nd_extension",
	"nd_hop_limit", "nd_ignored", "nd_format", "nd_checksum", "nd_address", "nd_foreign", "nd_unsolicited",
}

// String returns the reason as a metric label.
func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}

// Loss says why a packet could not be sent. The zero value: it was, or it waits.
type Loss uint8

// The reasons.
const (
	Sent        Loss = iota
	NotReady         // the address check is not over
	NoRoute          // off the link, and there is no gateway of that family
	NotUnicast       // for a group or for everybody
	ToOurselves      // for one of our own addresses
	NoNeighbor       // nobody answered for the address
	TableFull        // every neighbor of the table is known to be there
	Evicted          // waited for a neighbor that had to make room for another one
	Overtaken        // waited for a neighbor, and a later packet took its place
	NumLosses
)

var lossNames = [NumLosses]string{
	"sent", "address_check", "no_route", "not_unicast", "to_ourselves", "no_neighbor", "neighbor_table_full",
	"neighbor_evicted", "neighbor_queue_full",
}

// String returns the reason as a metric label.
func (l Loss) String() string {
	if l < NumLosses {
		return lossNames[l]
	}
	return "unknown"
}

// Counters count what has happened. FramesIn == Delivered + Handled + the sum of Drops.
type Counters struct {
	FramesIn  uint64
	Delivered uint64 // packets for the stack
	Handled   uint64 // ARP and Neighbor Discovery that was of use
	Drops     [NumDrops]uint64

	Held     uint64 // packets that had to wait for their neighbor's address
	Released uint64 // of these, those that were sent
	Losses   [NumLosses]uint64

	Solicitations uint64 // sent
	SolicitLimit  uint64 // not sent because of their rate
	Answers       uint64 // to others who asked for one of our addresses
	Conflicts     uint64 // times that somebody else claimed one of our addresses
	Defended      uint64 // times that we announced ours because of that
	Challenges    uint64 // times that a neighbor was asked whether it is still there, because another MAC claims its address
	Neighbors     int    // in the table at present
}
