// Package tcp is the protocol: RFC 9293 with its extensions, deterministic. It starts no goroutine, takes no lock, reads no
// clock, draws no random number and does no I/O; time is an argument, secrets and seeds come in at construction. The same
// calls yield the same segments, bit for bit.
//
// A Table holds the connections of one shard. The runtime around it feeds packets and time in (Arrive, Advance), passes on
// what applications want (Listen, Accept, Connect, Read, Write, Close, ...), and polls out what follows (Poll for packets,
// Events for news, Deadline for the next time something is due). Polls come after events and calls; one acknowledgement
// answers all segments that arrived before the poll.
package tcp
