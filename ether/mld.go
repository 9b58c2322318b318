package ether

import (
	"encoding/binary"

	"tcpd/ip"
)

// Switches that listen to MLD pass the frames of a group on to those only who have joined it, so that a host joins the groups in
// which it is asked for its addresses (RFC 4861, section 7.2.1), by reports of MLD version 2 (RFC 3810).
const (
	mldQuery        = 130
	mldReport       = 143
	mldHeaderLen    = 8
	mldRecordLen    = 20 // without sources
	mldIsExclude    = 2  // answer to a query: from everybody
	mldToExclude    = 4  // said unasked
	mldQueryMin     = 24 // of version 1
	mldHopLimit     = 1
	mldMaxGroups    = 64 // that fit the least MTU of IPv6; a host has a handful of addresses
	hopByHopLen     = 8  // with a router alert and padding
	mldDefaultDelay = 1 * second
)

// allReporters is where reports go, ff02::16.
var allReporters = ip.Addr{0: 0xff, 1: 0x02, 15: 0x16}

// routerAlert is a hop-by-hop header before ICMPv6 with the option of RFC 2711, for MLD.
var routerAlert = [hopByHopLen]byte{ip.ProtocolICMPv6, 0, 5, 2, 0, 0, 1, 0}

// groups returns those of our addresses, each once.
func (h *Host) groups() (list []ip.Addr) {
	seen := map[ip.Addr]bool{}
	for _, p := range h.cfg.Addresses {
		if !p.Addr().Is6() || len(list) == mldMaxGroups {
			continue
		}
		if g := solicitedNode(ip.AddrFrom(p.Addr())); !seen[g] {
			seen[g] = true
			list = append(list, g)
		}
	}
	return list
}

// report says which groups we are in. It comes from the unspecified address, as that of a node without a link-local one does
// (RFC 3810, section 5.2.13).
func (h *Host) report(kind byte) {
	groups := h.groups()
	if len(groups) == 0 {
		return
	}
	message := mldHeaderLen + mldRecordLen*len(groups)
	b := h.out.add(HeaderLen + ip.HeaderLen6 + hopByHopLen + message)
	putHeader(b, multicast6(allReporters), h.cfg.MAC, typeIPv6)
	header := ip.Header{Dst: allReporters, Protocol: 0, TTL: mldHopLimit, PayloadLen: hopByHopLen + message}
	packet := b[HeaderLen:]
	rest := packet[header.Put(packet):]
	copy(rest, routerAlert[:])
	icmp := rest[hopByHopLen:]
	clear(icmp)
	icmp[0] = mldReport
	binary.BigEndian.PutUint16(icmp[6:], uint16(len(groups)))
	for i, g := range groups {
		record := icmp[mldHeaderLen+i*mldRecordLen:]
		record[0] = kind
		copy(record[4:], g[:])
	}
	sum := ip.Sum(icmp, ip.PseudoSum(header.Src, header.Dst, ip.ProtocolICMPv6, len(icmp)))
	binary.BigEndian.PutUint16(icmp[icmpChecksum:], ^sum)
}

// isQuery reports whether a parsed packet asks for the groups of the link, as its routers do (RFC 3810, section 6.2).
func isQuery(p *ip.Packet) bool {
	return p.Protocol == ip.ProtocolICMPv6 && !p.Fragment.IsFragment() && len(p.Payload) >= mldQueryMin && p.Payload[0] == mldQuery &&
		p.TTL == mldHopLimit && p.Src[0] == 0xfe && p.Src[1]&0xc0 == 0x80 && p.TransportChecksumOK()
}

// queried plans the answer, at a random time until the delay that the query allows: all who are asked must not answer at once.
func (h *Host) queried(now Time, query []byte) {
	longest := Time(binary.BigEndian.Uint16(query[4:])) * millisecond
	if longest <= 0 || longest > mldDefaultDelay {
		longest = mldDefaultDelay
	}
	if at := now + 1 + h.random.below(int64(longest)); h.answer == never || at < h.answer {
		h.answer = at
	}
}
