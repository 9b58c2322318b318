package stack

import (
	"tcpd/ip"
	"tcpd/tcp"
)

// Stats are counts since the start, and present numbers. Every packet in has one end:
//
//	PacketsIn + Reassembled == Delivered + Fragments + the sum of Drops, IPDrops and TCPDrops
//
// A fragment that reassembly takes in ends as one of Fragments, and the datagram it completes begins anew as one of
// Reassembled. What became of the Fragments is in Reassembly.
type Stats struct {
	PacketsIn, BytesIn   uint64 // from the link; a super-packet counts once
	PacketsOut, BytesOut uint64 // to the link
	WriteErrors          uint64 // packets that the link refused with an error
	Delivered            uint64 // to a connection, or answered (echo)
	Fragments            uint64
	Reassembled          uint64
	EchoReplies          uint64
	ICMPErrors           uint64 // sent
	ICMPErrorsLimited    uint64 // not sent, because of the rate

	Drops    [NumDrops]uint64
	IPDrops  [ip.NumDrops]uint64
	TCPDrops [tcp.NumDrops]uint64

	Reassembly      ip.ReassemblerCounters
	ReassemblyBytes int

	Connections, HalfOpen, TimeWait int
	MemoryUsed, MemoryPeak          int64 // bytes
	MemoryLimit                     int64
	MemoryRefused                   uint64         // times
	TCP                             []tcp.Counters // by shard
}

// Stats returns the present state. Packets that are being processed meanwhile may be counted in one number and not yet in
// another.
func (s *Stack) Stats() Stats {
	var st Stats
	for _, g := range s.guests {
		g.counters.addTo(&st)
	}
	for _, r := range s.loops {
		r.counters.addTo(&st)
	}
	for _, sh := range s.shards {
		sh.addTo(&st)
	}
	st.MemoryUsed += s.memory.used.Load()
	st.MemoryPeak = s.memory.peak.Load()
	st.MemoryLimit, st.MemoryRefused = s.memory.limit.Load(), uint64(s.memory.refused.Load())
	f := &s.fragments
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Reassembly, st.ReassemblyBytes = f.reassembler.Counters(), f.reassembler.Bytes()
	return st
}

// Unaccounted returns the difference of the two sides of the sum above: 0 whenever no packet is being processed.
func (st *Stats) Unaccounted() int64 {
	ends := st.Delivered + st.Fragments
	for _, n := range st.Drops {
		ends += n
	}
	for _, n := range st.IPDrops {
		ends += n
	}
	for _, n := range st.TCPDrops {
		ends += n
	}
	return int64(st.PacketsIn + st.Reassembled - ends)
}

func (c *counters) addTo(st *Stats) {
	st.PacketsIn += c.packets.Load()
	st.BytesIn += c.bytes.Load()
	st.Delivered += c.delivered.Load()
	st.Fragments += c.fragments.Load()
	st.Reassembled += c.reassembled.Load()
	st.EchoReplies += c.echoReplies.Load()
	st.ICMPErrors += c.icmpErrors.Load()
	st.ICMPErrorsLimited += c.icmpErrorsLimited.Load()
	st.PacketsOut += c.packetsOut.Load()
	st.BytesOut += c.outLen.Load()
	st.WriteErrors += c.writeErrors.Load()
	for i := range c.drops {
		st.Drops[i] += c.drops[i].Load()
	}
	for i := range c.ipDrops {
		st.IPDrops[i] += c.ipDrops[i].Load()
	}
	for i := range c.tcpDrops {
		st.TCPDrops[i] += c.tcpDrops[i].Load()
	}
}

func (sh *shard) addTo(st *Stats) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.table.Len()
	st.Connections += n.Connections
	st.HalfOpen += n.HalfOpen
	st.TimeWait += n.TimeWait
	st.MemoryUsed -= int64(sh.memory.spare)
	st.PacketsOut += sh.packetsOut
	st.BytesOut += sh.bytesOut
	st.WriteErrors += sh.writeErrors
	st.TCP = append(st.TCP, sh.table.Counters())
}
