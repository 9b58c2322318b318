package world

import (
	"encoding/binary"
	"fmt"

	"tcpd/ip"
	"tcpd/tcp"
)

// Offsets in the TCP header, and option kinds.
const (
	atSeq, atAck, atOffset, atFlags, atWindow, tcpHeader = 4, 8, 12, 13, 14, 20

	optMSS, optScale, optPermitted, optSACK, optTimestamps = 2, 3, 4, 5, 8
)

// networkLen is the length of the network header of our packets, which have no options nor extension headers.
func networkLen(b []byte) int {
	if b[0]>>4 == 4 {
		return ip.HeaderLen4
	}
	return ip.HeaderLen6
}

// segment is a look at a TCP header with its data.
type segment struct {
	header  []byte
	payload []byte
}

func look(packet []byte) segment {
	t := packet[networkLen(packet):]
	off := int(t[atOffset]>>4) * 4
	return segment{t[:off], t[off:]}
}

func (s segment) seq() uint32      { return binary.BigEndian.Uint32(s.header[atSeq:]) }
func (s segment) ack() uint32      { return binary.BigEndian.Uint32(s.header[atAck:]) }
func (s segment) flags() tcp.Flags { return tcp.Flags(s.header[atFlags]) }
func (s segment) window() uint16   { return binary.BigEndian.Uint16(s.header[atWindow:]) }
func (s segment) options() []byte  { return s.header[tcpHeader:] }

// eachOption calls f with each option, its kind and length included.
func eachOption(b []byte, f func(option []byte)) {
	for len(b) > 0 && b[0] != 0 {
		if b[0] == 1 {
			b = b[1:]
			continue
		}
		f(b[:b[1]])
		b = b[b[1]:]
	}
}

// describe shows a segment with sequence numbers relative to those given.
func (s segment) describe(seq, ack uint32) string {
	text := fmt.Sprintf("%-3v %d(%d)", s.flags(), s.seq()-seq, len(s.payload))
	if s.flags()&tcp.ACK != 0 {
		text += fmt.Sprintf(" ack %d", s.ack()-ack)
	}
	text += fmt.Sprintf(" win %d", s.window())
	eachOption(s.options(), func(o []byte) {
		switch o[0] {
		case optMSS:
			text += fmt.Sprintf(" mss %d", binary.BigEndian.Uint16(o[2:]))
		case optScale:
			text += fmt.Sprintf(" wscale %d", o[2])
		case optPermitted:
			text += " sackOK"
		case optTimestamps:
			text += fmt.Sprintf(" TS %d,%d", binary.BigEndian.Uint32(o[2:]), binary.BigEndian.Uint32(o[6:]))
		case optSACK:
			for b := o[2:]; len(b) >= 8; b = b[8:] {
				text += fmt.Sprintf(" sack %d-%d", binary.BigEndian.Uint32(b)-ack, binary.BigEndian.Uint32(b[4:])-ack)
			}
		}
	})
	return text
}

// merge appends packet b to super-packet a as a receiving link with GRO does, and reports whether they belong together.
// size is the payload of the first segment of a. The checksum of what results is left partial.
func merge(a, b []byte, size int) ([]byte, bool) {
	x, y := look(a), look(b)
	const end = tcp.FIN | tcp.PSH
	switch {
	case len(y.payload) == 0 || len(y.payload) > size || len(x.payload)%size != 0 || len(a)+len(y.payload) > 65535:
		return a, false
	case x.flags() != tcp.ACK || y.flags()&^end != tcp.ACK || x.seq()+uint32(len(x.payload)) != y.seq():
		return a, false
	case networkLen(a) != networkLen(b) || string(flowOf(a)) != string(flowOf(b)) || congestion(a) != congestion(b):
		return a, false
	case string(x.header[atAck:atFlags]) != string(y.header[atAck:atFlags]):
		return a, false
	case string(x.header[atWindow:atWindow+2]) != string(y.header[atWindow:atWindow+2]):
		return a, false
	case string(x.options()) != string(y.options()):
		return a, false
	}
	x.header[atFlags] = y.header[atFlags]
	a = append(a, y.payload...)
	setLength(a)
	return a, true
}

// flowOf returns addresses and ports as they lie in a packet.
func flowOf(b []byte) []byte {
	if b[0]>>4 == 4 {
		return b[12:24]
	}
	return b[8:44]
}

// The ECN field of the network header (RFC 3168, section 5).
const (
	notECT = 0
	ce     = 3
)

func congestion(b []byte) byte {
	if b[0]>>4 == 6 {
		return b[1] >> 4 & 3
	}
	return b[1] & 3
}

// setCongestion writes the ECN field.
func setCongestion(b []byte, v byte) {
	if b[0]>>4 == 6 {
		b[1] = b[1]&^0x30 | v<<4
		return
	}
	b[1] = b[1]&^3 | v
	setLength(b)
}

// setLength makes the network header fit the length of the packet.
func setLength(b []byte) {
	be := binary.BigEndian
	if b[0]>>4 == 6 {
		be.PutUint16(b[4:], uint16(len(b)-ip.HeaderLen6))
		return
	}
	be.PutUint16(b[2:], uint16(len(b)))
	be.PutUint16(b[10:], 0)
	be.PutUint16(b[10:], ^ip.Sum(b[:ip.HeaderLen4], 0))
}

// corrupt flips one or two bits such that the checksums must see it. One's complement sums do not see two flips of the same
// bit of two words that cancel, so the two differ in their place within the 16-bit word. Bytes that no checksum covers, and
// lengths that decide what is covered, stay.
func corrupt(d dice, b []byte) {
	used := -1
	for range 1 + d.IntN(2) {
		for {
			at, bit := d.IntN(len(b)), d.IntN(8)
			place := bit + at%2*8
			if place == used || at == 0 || b[0]>>4 == 6 && at < 8 {
				continue
			}
			used = place
			b[at] ^= 1 << bit
			break
		}
	}
}
