package ether

import (
	"encoding/binary"

	"tcpd/ip"
)

const arpLen = 28 // for IPv4 over Ethernet

const (
	arpRequest = 1
	arpReply   = 2
)

// arpFixed is how every packet for IPv4 over Ethernet begins: hardware, protocol, and the lengths of their addresses.
var arpFixed = [6]byte{0, 1, 0x08, 0x00, 6, 4}

// arp is an ARP packet (RFC 826) for IPv4 over Ethernet.
type arp struct {
	op        uint16
	senderMAC MAC
	sender    ip.Addr // 0.0.0.0: a probe (RFC 5227)
	targetMAC MAC
	target    ip.Addr
}

// parse reads a packet. Bytes behind it are padding of the frame.
func (a *arp) parse(b []byte) Drop {
	if len(b) < arpLen {
		return ARPShort
	}
	if [6]byte(b) != arpFixed {
		return ARPKind
	}
	a.op = binary.BigEndian.Uint16(b[6:])
	a.senderMAC, a.sender = MAC(b[8:]), ip.Addr4([4]byte(b[14:]))
	a.targetMAC, a.target = MAC(b[18:]), ip.Addr4([4]byte(b[24:]))
	switch {
	case a.op != arpRequest && a.op != arpReply:
		return ARPKind
	case !a.senderMAC.Valid(), !a.sender.IsUnspecified() && !a.sender.Unicast(), a.sender.IsUnspecified() && a.op == arpReply:
		return ARPSender
	}
	return Accepted
}

// put writes the packet, arpLen bytes.
func (a *arp) put(b []byte) {
	copy(b, arpFixed[:])
	binary.BigEndian.PutUint16(b[6:], a.op)
	copy(b[8:], a.senderMAC[:])
	copy(b[14:], a.sender[12:])
	copy(b[18:], a.targetMAC[:])
	copy(b[24:], a.target[12:])
}
