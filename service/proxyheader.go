package service

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// ProxyProtocol is the version of the PROXY protocol that a backend expects
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
type ProxyProtocol uint8

// Versions of the PROXY protocol.
const (
	NoProxyProtocol ProxyProtocol = iota
	ProxyProtocolV1               // section 2.1: a line of text
	ProxyProtocolV2               // section 2.2: binary
)

// Values of section 2.2.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLocal     = 0x20 // version 2, command LOCAL
	proxyProxied   = 0x21 // version 2, command PROXY
	proxyUnspec    = 0x00
	proxyTCP4      = 0x11
	proxyTCP6      = 0x21
)

// appendHeader appends the header that tells the backend about a connection from src to dst. Addresses that are not of IP,
// or of different families, give the header that says so.
func (v ProxyProtocol) appendHeader(b []byte, src, dst netip.AddrPort) []byte {
	src, dst = plain(src), plain(dst)
	known := src.IsValid() && dst.IsValid() && src.Addr().Is4() == dst.Addr().Is4()
	switch v {
	case ProxyProtocolV1:
		return appendHeader1(b, src, dst, known)
	case ProxyProtocolV2:
		return appendHeader2(b, src, dst, known)
	}
	return b
}

func appendHeader1(b []byte, src, dst netip.AddrPort, known bool) []byte {
	if !known {
		return append(b, "PROXY UNKNOWN\r\n"...)
	}
	family := "PROXY TCP6 "
	if src.Addr().Is4() {
		family = "PROXY TCP4 "
	}
	b = append(b, family...)
	b = append(src.Addr().AppendTo(b), ' ')
	b = append(dst.Addr().AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(src.Port()), 10), ' ')
	b = strconv.AppendUint(b, uint64(dst.Port()), 10)
	return append(b, "\r\n"...)
}

func appendHeader2(b []byte, src, dst netip.AddrPort, known bool) []byte {
	b = append(b, proxySignature...)
	if !known {
		// LOCAL makes the backend use the addresses of its own connection.
		return append(b, proxyLocal, proxyUnspec, 0, 0)
	}
	family := byte(proxyTCP6)
	if src.Addr().Is4() {
		family = proxyTCP4
	}
	from, to := src.Addr().AsSlice(), dst.Addr().AsSlice()
	b = append(b, proxyProxied, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(from)+len(to)+4))
	b = append(append(b, from...), to...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}

// plain takes the zone away and turns an IPv4-mapped IPv6 address into the IPv4 address it stands for.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// addrPort returns the IP address and port of a, invalid if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	if p, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return p.AddrPort()
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return p
}
