package service

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestHeaderExamples(t *testing.T) {
	const widest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	for _, c := range []struct {
		version  ProxyProtocol
		src, dst string
		want     string
	}{
		// The example of section 2.1, and its longest lines.
		{ProxyProtocolV1, "192.168.0.1:56324", "192.168.0.11:443", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"},
		{ProxyProtocolV1, "255.255.255.255:65535", "255.255.255.255:65535",
			"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"},
		{ProxyProtocolV1, "[" + widest + "]:65535", "[" + widest + "]:65535",
			"PROXY TCP6 " + widest + " " + widest + " 65535 65535\r\n"},
		{ProxyProtocolV1, "[::ffff:10.0.0.1]:1", "10.0.0.2:2", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"},
		{ProxyProtocolV1, "[fe80::1%tcp0]:1", "[fe80::2%tcp0]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"},
		{ProxyProtocolV1, "10.0.0.1:1", "[::1]:2", "PROXY UNKNOWN\r\n"},
		{ProxyProtocolV2, "127.0.0.1:12345", "127.0.0.2:80",
			"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x02\x30\x39\x00\x50"},
		{ProxyProtocolV2, "[fd77::1]:12345", "[fd77::2]:80",
			"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24\xfd\x77" + strings.Repeat("\x00", 13) + "\x01\xfd\x77" +
				strings.Repeat("\x00", 13) + "\x02\x30\x39\x00\x50"},
		{ProxyProtocolV2, "10.0.0.1:1", "[::1]:2", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
		{NoProxyProtocol, "10.0.0.1:1", "10.0.0.2:2", ""},
	} {
		got := c.version.appendHeader(nil, netip.MustParseAddrPort(c.src), netip.MustParseAddrPort(c.dst))
		if string(got) != c.want {
			t.Errorf("version %d, %s to %s: got %q, want %q", c.version, c.src, c.dst, got, c.want)
		}
	}
}

func TestAddrPortOfAnyAddress(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1).To4(), Port: 7}
	if got := addrPort(tcp); got != netip.MustParseAddrPort("10.0.0.1:7") {
		t.Errorf("TCP address: got %v", got)
	}
	if got := addrPort(named("[fd77::2]:80")); got != netip.MustParseAddrPort("[fd77::2]:80") {
		t.Errorf("an address that is only text: got %v", got)
	}
	if got := addrPort(&net.UnixAddr{Name: "/run/x", Net: "unix"}); got.IsValid() {
		t.Errorf("a UNIX socket has no IP address: got %v", got)
	}
}

type named string

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return string(n) }

// parseHeader is a strict reader of both versions. Without addresses it returns the zero AddrPorts.
func parseHeader(b string) (src, dst netip.AddrPort, err error) {
	if rest, ok := strings.CutPrefix(b, "\r\n\r\n\x00\r\nQUIT\n"); ok {
		return parseHeader2([]byte(rest))
	}
	line, ok := strings.CutSuffix(b, "\r\n")
	if !ok || len(b) > 107 {
		return src, dst, fmt.Errorf("no line of at most 107 bytes: %q", b)
	}
	f := strings.Split(line, " ")
	if line == "PROXY UNKNOWN" {
		return src, dst, nil
	}
	if len(f) != 6 || f[0] != "PROXY" || f[1] != "TCP4" && f[1] != "TCP6" {
		return src, dst, fmt.Errorf("bad line: %q", line)
	}
	src, err = hostPort(f[2], f[4], f[1] == "TCP4")
	if err == nil {
		dst, err = hostPort(f[3], f[5], f[1] == "TCP4")
	}
	return src, dst, err
}

func hostPort(host, port string, is4 bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(host)
	p, failed := strconv.ParseUint(port, 10, 16)
	if err != nil || failed != nil || a.Is4() != is4 || a.Zone() != "" || strconv.FormatUint(p, 10) != port {
		return netip.AddrPort{}, fmt.Errorf("bad address %q %q", host, port)
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}

func parseHeader2(b []byte) (src, dst netip.AddrPort, err error) {
	if len(b) < 4 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-4 {
		return src, dst, fmt.Errorf("bad length: %x", b)
	}
	size := map[[2]byte]int{{0x21, 0x11}: 4, {0x21, 0x21}: 16, {0x20, 0x00}: 0}
	n, known := size[[2]byte(b)]
	body := b[4:]
	switch {
	case known && n == 0 && len(body) == 0:
		return src, dst, nil
	case !known || len(body) != 2*n+4:
		return src, dst, fmt.Errorf("bad family or length: %x", b)
	}
	from, _ := netip.AddrFromSlice(body[:n])
	to, _ := netip.AddrFromSlice(body[n : 2*n])
	ports := body[2*n:]
	return netip.AddrPortFrom(from, binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:])), nil
}

func FuzzHeaderIsReadBack(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, uint16(1), uint16(65535))
	f.Add([]byte(net.ParseIP("fd77::1")), []byte(net.ParseIP("fd77::2")), uint16(12345), uint16(80))
	f.Add([]byte(net.ParseIP("10.0.0.1")), []byte{10, 0, 0, 2}, uint16(0), uint16(80))
	f.Add([]byte{10, 0, 0, 1}, []byte{}, uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, from, to []byte, fromPort, toPort uint16) {
		a, _ := netip.AddrFromSlice(from)
		b, _ := netip.AddrFromSlice(to)
		a, b = a.Unmap(), b.Unmap()
		src, dst := netip.AddrPortFrom(a, fromPort), netip.AddrPortFrom(b, toPort)
		wantSrc, wantDst := src, dst
		if !a.IsValid() || !b.IsValid() || a.Is4() != b.Is4() {
			wantSrc, wantDst = netip.AddrPort{}, netip.AddrPort{}
		}
		for _, v := range []ProxyProtocol{ProxyProtocolV1, ProxyProtocolV2} {
			header := string(v.appendHeader(nil, src, dst))
			gotSrc, gotDst, err := parseHeader(header)
			if err != nil || gotSrc != wantSrc || gotDst != wantDst {
				t.Fatalf("%q was read as %v, %v, %v; want %v, %v", header, gotSrc, gotDst, err, wantSrc, wantDst)
			}
		}
	})
}
