package stack

import "tcpd/ip"

// Link carries IP packets between the stack and the outside. The links of package tun satisfy it.
//
// A link has one or more queues. One goroutine at a time may Read a queue; Poll and Write may be called by any. The packets of
// a queue are delivered one after the other, whoever reads them.
type Link interface {
	// Queues returns the number of queues, at least 1, constant.
	Queues() int
	// MTU returns the largest packet, in bytes, that is no super-packet. It may change at any time.
	MTU() int
	// Read blocks until the queue has a packet, then hands packets to deliver until the queue is empty or max packets are
	// read. Packet and offload are borrowed during the call of deliver. An error is final: the link is closed or gone.
	Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error
	// Poll is Read without waiting: it returns the number of packets delivered, 0 when there was none, or while another
	// goroutine is delivering.
	Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error)
	// Write sends one packet or super-packet, which is borrowed until Write returns. A packet that the link could not send
	// is counted by the link and gone, as on any network.
	Write(queue int, p *ip.Outgoing) error
	// Close ends every Read with an error.
	Close() error
}

// LongLink is a Link that takes super-packets of more than 65,535 bytes to some peers, with a header as ip.Header.Put writes it.
type LongLink interface {
	Link
	// Longest returns how long, in bytes, one to a peer may be. It is asked once for each connection that has much to send, with
	// the lock of a shard held.
	Longest(peer ip.Addr) int
}
