package tcp

// Drop says why a segment was not delivered to a connection, or not in full.
type Drop uint8

// The reasons. DropNone: the segment was delivered.
const (
	DropNone         Drop = iota
	DropHeaderShort       // shorter than a TCP header, or than its own data offset says
	DropChecksum          // wrong checksum
	DropFlags             // SYN+FIN, SYN+RST or other nonsense
	DropClosedPort        // nobody listens; answered with RST
	DropResetClosed       // RST for a connection that does not exist
	DropBacklog           // the listener's queue of accepted connections is full
	DropHalfOpen          // too many half-open connections
	DropConnections       // too many connections
	DropMemory            // the memory budget is exhausted
	DropSequence          // outside the receive window
	DropPAWS              // old timestamp (RFC 7323, section 5)
	DropResetWindow       // RST that does not match exactly: answered with a challenge ACK (RFC 5961, section 3)
	DropSyn               // SYN on a synchronized connection (RFC 5961, section 4)
	DropNoAck             // no ACK where there has to be one
	DropAckRange          // acknowledges what is too old or was never sent (RFC 5961, section 5)
	DropHandshakeAck      // wrong ACK during the handshake; answered with RST
	DropDuplicate         // nothing new in it
	DropPartial           // only a part could be kept
	DropRanges            // too many separate ranges out of order
	DropPastFin           // data after the peer's FIN
	DropDataUnread        // data for a connection that nobody reads any more; answered with RST
	DropTimeWait          // for a connection in TIME-WAIT
	DropHeld              // SYN that is waiting for the application's decision
	DropICMPFlow          // ICMP error about a connection that does not exist
	DropICMPSequence      // ICMP error that does not quote what is in flight (RFC 5927, section 4)
	DropICMPSoft          // ICMP error that changes nothing in the connection's state
	DropCookie            // acknowledges no SYN cookie of ours, while cookies count
	DropPathMTU           // "packet too big" that is not credible
	NumDrops
)

var dropNames = [NumDrops]string{
	"none", "tcp_header_short", "tcp_checksum", "flags", "closed_port", "reset_closed", "backlog_full", "half_open_limit",
	"connection_limit", "memory", "sequence", "paws", "reset_inexact", "syn_synchronized", "no_ack", "ack_range",
	"handshake_ack", "duplicate", "partial", "reassembly_ranges", "past_fin", "data_unread", "time_wait", "syn_held",
	"icmp_no_connection", "icmp_sequence", "icmp_soft", "cookie", "path_mtu",
}

func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}
