package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ByteSize is a number of bytes. In the file it carries a unit: KiB, MiB, GiB, TiB, kB, MB, GB, TB or B.
type ByteSize int64

// The units, the one that String should prefer first.
var byteUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.bytes == 0 {
			return strconv.FormatInt(int64(b)/u.bytes, 10) + u.name
		}
	}
	return "0"
}

func parseByteSize(s string) (ByteSize, error) {
	const hint = "write a whole number and a unit, like 64KiB, 512MiB or 2GiB"
	if s == "0" {
		return 0, nil
	}
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(plainDigits(strings.TrimSpace(digits)), 10, 64)
		if err != nil || n < 0 {
			return 0, wrong(hint, "%s is not a size", short(s))
		}
		if n > (1<<62)/u.bytes {
			return 0, wrong(hint, "%s is too large a size", short(s))
		}
		return ByteSize(n * u.bytes), nil
	}
	return 0, wrong(hint, "%s is a size without a unit that is known here", short(s))
}

// plainDigits removes the underscores of 1_000_000.
func plainDigits(s string) string {
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.HasPrefix(s, "+") {
		return "x"
	}
	return strings.ReplaceAll(s, "_", "")
}

func parseDuration(s string) (time.Duration, error) {
	const hint = "write a number and a unit, like 500ms, 10s, 15m or 2h"
	d, err := time.ParseDuration(s)
	if err == nil && d >= 0 {
		return d, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, wrong(hint, "%s is a duration without a unit", short(s))
	}
	return 0, wrong(hint, "%s is not a duration", short(s))
}

// duration writes d the way the file has it: 2h, not 2h0m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, wrong("write true or false", "%s is neither true nor false", short(s))
}

// integer returns a parser of whole numbers from lo to hi.
func integer(lo, hi int, unit string) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.ParseInt(plainDigits(s), 10, 64)
		switch {
		case err != nil:
			return 0, wrong("write digits, like 1000000 or 1_000_000", "%s is not a whole number", short(s))
		case n < int64(lo) || n > int64(hi):
			return 0, wrong("choose a number in that range", "%d is out of range: %d to %d%s", n, lo, hi, unit)
		}
		return int(n), nil
	}
}

// choice returns a parser of one of some words.
func choice(words []string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		return "", wrong(suggest(s, slices.Clone(words)), "%s is not possible here", short(s))
	}
}

// parseQueues returns 0 for "auto". 256 queues are the most the TUN driver gives a device.
func parseQueues(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := integer(1, 256, " queues")(s)
	if err != nil {
		return 0, wrong("write auto, or a number of queues from 1 to 256", "%s is no number of queues", short(s))
	}
	return n, nil
}

// parseBuffer returns 0 for "auto". A window cannot exceed 1 GiB (RFC 7323, section 2.3); half of it is plenty.
func parseBuffer(s string) (ByteSize, error) {
	if s == "auto" {
		return 0, nil
	}
	b, err := parseByteSize(s)
	if err != nil {
		return 0, err
	}
	if b < 4<<10 || b > 512<<20 {
		return 0, wrong("write auto, or a size in that range", "%s is out of range: 4KiB to 512MiB", b)
	}
	return b, nil
}

func parseMemory(s string) (ByteSize, error) {
	b, err := parseByteSize(s)
	if err == nil && b < 1<<20 {
		err = wrong("with less there is no room for a handful of connections", "%s is too little: at least 1MiB", b)
	}
	return b, err
}

// parseDevice checks a name as the kernel does: IFNAMSIZ is 16 with the final zero, and the characters are those that
// dev_valid_name refuses. A name with % would make the kernel choose one.
func parseDevice(s string) (string, error) {
	switch {
	case s == "":
		return "", wrong("give the device a name, like tcp0", "the device name is empty")
	case len(s) > 15:
		return "", wrong("shorten it", "%s is too long for a device name: %d bytes, at most 15", short(s), len(s))
	case s == "." || s == ".." || strings.ContainsAny(s, "/:%\\") || strings.ContainsFunc(s, notGraphic):
		return "", wrong("use letters, digits and dashes", "%s cannot be a device name", short(s))
	}
	return s, nil
}

func notGraphic(r rune) bool { return r <= ' ' || r == 0x7f }

// parsePrefix reads an address with the length of its network's prefix. Unlike a network it keeps the host bits.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "%") {
		return netip.Prefix{}, zoned(s)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		hint := fmt.Sprintf("write %s/24, if its network is that large", a)
		if a.Is6() {
			hint = fmt.Sprintf("write %s/64", a)
		}
		return netip.Prefix{}, wrong(hint, "%s has no prefix length", short(s))
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, wrong(`write an address and its prefix length, like 10.77.0.2/24 or "fd77::2/64"`, "%s is not an address with a prefix length", short(s))
	}
	return p, unicastHost(p)
}

// zoned is what is wrong with an address that names an interface of the kernel.
func zoned(s string) error {
	_, zone, _ := strings.Cut(s, "%")
	if end := strings.IndexAny(zone, "]/"); end >= 0 {
		zone = zone[:end]
	}
	return wrong("leave out %"+zone, "%s has a zone, and there is one interface only, that of tcpd", short(s))
}

// unicastHost reports why p cannot be the address of one host on a link.
func unicastHost(p netip.Prefix) error {
	a := p.Addr()
	var why string
	switch {
	case a.Is4In6():
		return wrong("write "+a.Unmap().String()+" as IPv4", "%s is an IPv4 address in IPv6 form", a)
	case a.IsUnspecified():
		why = "the unspecified address"
	case a.IsMulticast():
		why = "a multicast address"
	case a.IsLoopback():
		why = "a loopback address"
	case a.Is4() && a.As4()[0] >= 240:
		why = "a reserved address"
	case p.Bits() == 0:
		return wrong("give the length of its network, like /24 or /64", "%s has prefix length 0, which would be everything", p)
	case p.Bits() < a.BitLen()-1 && a == p.Masked().Addr():
		why = "the address of its network" // with IPv6 the anycast address of the routers: RFC 4291, section 2.6.1
	case a.Is4() && p.Bits() < 31 && a == broadcast(p):
		why = "the broadcast address of its network"
	default:
		return nil
	}
	return wrong("use an address of a single host", "%s is %s", p, why)
}

// broadcast returns the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

const listenHint = `write ":80" for every own address, or "10.77.0.2:80", or "[fd77::2]:80"`

// parseListen reads where a service listens. The zero address is every own address of both families.
func parseListen(s string) (netip.AddrPort, error) {
	host, port, err := splitListen(s)
	if err != nil || host == "" || host == "::" {
		return netip.AddrPortFrom(netip.Addr{}, port), err
	}
	a, err := netip.ParseAddr(host)
	if a.Zone() != "" {
		return netip.AddrPort{}, zoned(s)
	}
	if err != nil || a.Is4In6() {
		return netip.AddrPort{}, wrong(listenHint, "%s does not name an IP address to listen on", short(s))
	}
	return netip.AddrPortFrom(a, port), nil
}

func splitListen(s string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, wrong(listenHint, "%s is no place to listen on", short(s))
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, wrong("ports are the numbers 1 to 65535, and 0 for any that is free", "%s is not a port", short(service))
	}
	return host, uint16(n), nil
}

// parseHostListen reads an address of the host's own TCP: host:port, where port 0 lets the kernel choose. Empty is none.
func parseHostListen(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return "", wrong(`write "127.0.0.1:9320", or "" for none`, "%s is no place to listen on", short(s))
	}
	return s, nil
}

// maxSocketPath is sun_path of unix(7) without its final zero.
const maxSocketPath = 107

func parseSocket(s string) (string, error) {
	switch {
	case s == "":
	case !strings.HasPrefix(s, "/"):
		return "", wrong("write the path from the root on, like /run/tcpd/control.sock", "%s is not an absolute path", short(s))
	case len(s) > maxSocketPath || strings.ContainsRune(s, 0):
		return "", wrong("shorten it", "the path has %d bytes, a UNIX socket's at most %d", len(s), maxSocketPath)
	}
	return s, nil
}

// parseDirectory reads the path of a directory.
func parseDirectory(s string) (string, error) {
	if s == "" {
		return "", wrong("write a path, like /srv/files", "the directory is empty")
	}
	return s, nil
}

// parseBody reads the answer of an HTTP service.
func parseBody(s string) (string, error) {
	if s == "" {
		return "", wrong("write a text, or http: {} for a page about the visitor's connection", "the answer is empty")
	}
	return s, nil
}

// hostName reports whether s can be an address, or a name that a resolver would look up: labels of letters, digits, dashes and
// underscores (RFC 1123, section 2.1), of which the last is not a number, or it would be an address that is wrong.
func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	wrong := slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.ContainsFunc(l, notOfName)
	})
	return !wrong && len(s) <= 254 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// short quotes a value for a message, at most 60 characters of it.
func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:59]) + "…"
	}
	return strconv.Quote(s)
}
