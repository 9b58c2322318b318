package ether

import (
	"encoding/binary"

	"tcpd/ip"
)

// ICMPv6 types of Neighbor Discovery (RFC 4861, section 4).
const (
	ndRouterSolicitation = 133
	ndSolicitation       = 135
	ndAdvertisement      = 136
	ndRedirect           = 137
)

const (
	ndLen        = 24  // of solicitation and advertisement, without options
	ndOptionLen  = 8   // of a link-layer address on Ethernet
	ndHopLimit   = 255 // shows that no router was passed (section 3.1)
	ndSourceMAC  = 1   // option
	ndTargetMAC  = 2   // option
	ndSolicited  = 0x40
	ndOverride   = 0x20
	icmpChecksum = 2 // offset
)

// neighborMessage is a Neighbor Solicitation or Advertisement.
type neighborMessage struct {
	src, dst      ip.Addr
	advertisement bool
	solicited     bool
	override      bool
	target        ip.Addr
	mac           MAC // of the option that fits the message; zero without
}

// isND reports whether an IPv6 packet with all its extension headers parsed is of Neighbor Discovery.
func isND(p *ip.Packet) bool {
	return p.Protocol == ip.ProtocolICMPv6 && p.Fragment.Offset == 0 && len(p.Payload) > 0 &&
		p.Payload[0] >= ndRouterSolicitation && p.Payload[0] <= ndRedirect
}

// parse reads a message and checks it as RFC 4861, sections 7.1.1 and 7.1.2, demand. It must follow the fixed header directly:
// fragments are refused (RFC 6980, section 5), and with them every way to hide a message behind extension headers.
func (m *neighborMessage) parse(p *ip.Packet) Drop {
	b := p.Payload
	switch {
	case len(p.Header) != ip.HeaderLen6:
		return NDExtension
	case p.TTL != ndHopLimit:
		return NDHopLimit
	case b[0] != ndSolicitation && b[0] != ndAdvertisement:
		return NDIgnored
	case len(b) < ndLen || b[1] != 0:
		return NDFormat
	case !p.TransportChecksumOK():
		return NDChecksum
	}
	*m = neighborMessage{
		src: p.Src, dst: p.Dst, advertisement: b[0] == ndAdvertisement,
		solicited: b[4]&ndSolicited != 0, override: b[4]&ndOverride != 0, target: ip.Addr(b[8:24]),
	}
	if d := m.parseOptions(b[ndLen:]); d != Accepted {
		return d
	}
	return m.judge()
}

// parseOptions looks for the link-layer address: of the source in a solicitation, of the target in an advertisement.
func (m *neighborMessage) parseOptions(b []byte) Drop {
	wanted := byte(ndSourceMAC)
	if m.advertisement {
		wanted = ndTargetMAC
	}
	for len(b) > 0 {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return NDFormat
		}
		n := int(b[1]) * 8
		if b[0] == wanted && n == ndOptionLen {
			if m.mac = MAC(b[2:8]); !m.mac.Valid() {
				return NDFormat
			}
		}
		b = b[n:]
	}
	return Accepted
}

// judge checks the addresses against each other.
func (m *neighborMessage) judge() Drop {
	group := m.dst[0] == 0xff
	probe := m.src.IsUnspecified() // somebody checks whether the target is taken (RFC 4862, section 5.4.2)
	switch {
	case !m.target.Unicast() || m.target.Is4() || !probe && !m.src.Unicast():
		return NDAddress
	case m.advertisement && (probe || group && m.solicited):
		return NDAddress
	case !m.advertisement && probe && (m.dst != solicitedNode(m.target) || m.mac != MAC{}):
		return NDAddress
	case group && m.dst != allNodes && m.dst != solicitedNode(m.target):
		return NDAddress
	}
	return Accepted
}

// len returns how many bytes put writes.
func (m *neighborMessage) len() int {
	n := ip.HeaderLen6 + ndLen
	if m.mac != (MAC{}) {
		n += ndOptionLen
	}
	return n
}

// put writes the whole packet.
func (m *neighborMessage) put(b []byte) {
	h := ip.Header{Src: m.src, Dst: m.dst, Protocol: ip.ProtocolICMPv6, TTL: ndHopLimit, PayloadLen: m.len() - ip.HeaderLen6}
	icmp := b[h.Put(b):m.len()]
	clear(icmp)
	icmp[0] = ndSolicitation
	option := byte(ndSourceMAC)
	if m.advertisement {
		icmp[0], option = ndAdvertisement, ndTargetMAC
	}
	if m.solicited {
		icmp[4] |= ndSolicited
	}
	if m.override {
		icmp[4] |= ndOverride
	}
	copy(icmp[8:], m.target[:])
	if m.mac != (MAC{}) {
		icmp[ndLen], icmp[ndLen+1] = option, ndOptionLen/8
		copy(icmp[ndLen+2:], m.mac[:])
	}
	sum := ip.Sum(icmp, ip.PseudoSum(m.src, m.dst, ip.ProtocolICMPv6, len(icmp)))
	binary.BigEndian.PutUint16(icmp[icmpChecksum:], ^sum)
}
