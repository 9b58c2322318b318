package tun

import (
	"sync/atomic"

	"tcpd/ether"
)

// WriteDrop says why a packet could not be sent.
type WriteDrop uint8

// The reasons.
const (
	WriteLinkDown  WriteDrop = iota // the interface is not up (EIO)
	WriteGone                       // the device was deleted and is not back yet
	WriteRefused                    // the kernel refused the packet (EINVAL), also with nothing left to it
	WriteNoBuffer                   // the kernel had no memory for it
	WriteMalformed                  // a header too short for what its offload claims
	WriteTooLong                    // larger than an IP packet can be, or than the link's MTU where it tells
	WritePieces                     // more pieces than one writev takes
	WriteFull                       // the queue of an in-memory link is full
	WriteNoPeer                     // the peer of a UDP link is not there, or was not heard yet
	WriteOther                      // any other error
	NumWriteDrops
)

var writeDropNames = [NumWriteDrops]string{
	"link_down", "device_gone", "refused", "no_buffer", "malformed", "too_long", "too_many_pieces", "queue_full", "no_peer",
	"other",
}

// String returns the reason as a metric label.
func (d WriteDrop) String() string {
	if d < NumWriteDrops {
		return writeDropNames[d]
	}
	return "unknown"
}

// Traffic counts what went one way.
type Traffic struct {
	Packets uint64 // a super-packet is one
	Bytes   uint64 // of IP packets, without virtio headers
	Super   uint64 // how many of the packets were super-packets
}

// Stats is the state of a link and what has passed it since it was opened.
type Stats struct {
	Read, Written Traffic
	HeaderDrops   [NumHeaderDrops]uint64 // frames read and not delivered; [HeaderOK] is unused
	WriteDrops    [NumWriteDrops]uint64  // packets not sent
	Segmented     uint64                 // super-packets cut in software, because the device takes none or refused them
	Fallbacks     uint64                 // how often GSO writes were given up at run time
	Reattached    uint64                 // how often the device was deleted and came back

	LinkUp     bool
	VirtioHdr  bool // frames carry a virtio header: checksums and super-packets can be left to the kernel
	GSO        bool // super-packets are written whole
	Long       bool // to peers on this host also those of more than 64 KiB
	Persistent bool // the device outlives us

	// KernelDropped is the device's tx_dropped: packets for us that the kernel dropped because its ring was full. It starts
	// again when the device is re-created. KernelDroppedKnown is false when it cannot be read.
	KernelDropped      uint64
	KernelDroppedKnown bool

	// Ether is what the host on the Ethernet of a TAP has counted; nil for other links.
	Ether *ether.Counters
}

// counters are the numbers of one queue. Any goroutine may add and read.
type counters struct {
	in, out     traffic
	headerDrops [NumHeaderDrops]atomic.Uint64
	writeDrops  [NumWriteDrops]atomic.Uint64
	segmented   atomic.Uint64
}

type traffic struct{ packets, bytes, super atomic.Uint64 }

func (t *traffic) add(n int, super bool) {
	t.packets.Add(1)
	t.bytes.Add(uint64(n))
	if super {
		t.super.Add(1)
	}
}

func (t *traffic) addTo(s *Traffic) {
	s.Packets += t.packets.Load()
	s.Bytes += t.bytes.Load()
	s.Super += t.super.Load()
}

func (c *counters) read(n int, super bool)  { c.in.add(n, super) }
func (c *counters) wrote(n int, super bool) { c.out.add(n, super) }
func (c *counters) drop(d WriteDrop)        { c.writeDrops[d].Add(1) }

func (c *counters) addTo(s *Stats) {
	c.in.addTo(&s.Read)
	c.out.addTo(&s.Written)
	for i := range c.headerDrops {
		s.HeaderDrops[i] += c.headerDrops[i].Load()
	}
	for i := range c.writeDrops {
		s.WriteDrops[i] += c.writeDrops[i].Load()
	}
	s.Segmented += c.segmented.Load()
}
