// Package world is a deterministic simulator of TCP conversations: two tables of package tcp, a link between them that loses,
// reorders, duplicates, corrupts, delays, splits and merges, and applications that read, write, stall, close and abort. One
// seed decides everything; the same seed gives the same run, event for event, in virtual time and in one goroutine. All that
// can go wrong is in docs/testing.md.
//
// Oracles look at every step: what an application reads is what the other wrote, in order, once and unmodified; what was
// acknowledged was read, or the peer is told by RST; a stream that ended with EOF was complete; every failure has a cause;
// while the link delivers, bytes move; in the end nothing is left of memory, records or timers, and every segment that
// arrived was counted once.
package world
