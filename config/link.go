package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Link is what carries packets instead of a device. The zero value is the device.
type Link struct{ UDP UDPLink }

// UDPLink carries each packet in a UDP datagram to another tcpd.
type UDPLink struct {
	Listen  netip.AddrPort // where datagrams are awaited; invalid: there is no such link
	Peer    netip.AddrPort // the other end; invalid with AnyPeer: whoever was heard last
	AnyPeer bool
	MTU     int // bytes of the packets carried, at most; 0: what the path takes
}

// Used reports whether there is such a link.
func (u UDPLink) Used() bool { return u.Listen.IsValid() }

const linkHint = `write udp:LOCAL,REMOTE, like "udp:127.0.0.1:7001,127.0.0.1:7002"`

// link takes the settings of a link, or its short form.
func (d *decoder) link(l *Link) field {
	u := &l.UDP
	return func(path string, n *node) {
		if n.kind == scalar {
			value(d, u, func(s string) (UDPLink, error) { return parseLink(s, *u) })(path, n)
			return
		}
		d.mapping(map[string]field{"udp": d.mapping(map[string]field{
			"listen": value(d, &u.Listen, parseSocketAddress),
			"peer":   value(d, &u.Peer, parseSocketAddress),
			"any":    value(d, &u.AnyPeer, parseBool),
			"mtu":    value(d, &u.MTU, integer(576, 65487, " bytes")),
		})})(path, n)
	}
}

// parseLink reads the short form over what u holds. The other end may be left out.
func parseLink(s string, u UDPLink) (UDPLink, error) {
	ends, ok := strings.CutPrefix(s, "udp:")
	if !ok {
		return u, wrong(linkHint, "%s is not a link that is known here", short(s))
	}
	local, remote, two := strings.Cut(ends, ",")
	var err error
	if u.Listen, err = parseSocketAddress(local); err != nil || !two {
		return u, err
	}
	u.Peer, err = parseSocketAddress(remote)
	return u, err
}

// parseSocketAddress reads address:port of the host's UDP; without address it is any of the host's.
func parseSocketAddress(s string) (netip.AddrPort, error) {
	if strings.HasPrefix(s, ":") {
		s = "[::]" + s
	}
	a, err := netip.ParseAddrPort(s)
	if a.Addr().Zone() != "" {
		return a, wrong("name an address that needs no zone", "%s has a zone, which is not supported here", short(s))
	}
	if err != nil {
		return a, wrong(`write an address and a port, like "127.0.0.1:7001" or "[::1]:7001"`, "%s is no address with a port", short(s))
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// link checks the link against the device, of which there can be one only.
func (k *checker) link() {
	u := k.c.Link.UDP
	set := k.rank("link") > rankBuiltIn
	switch {
	case set && !u.Used():
		k.problem("link", linkHint, "the link has no place to listen on")
	case !set:
	case k.rank("tun.name") > rankBuiltIn:
		k.problem(k.later("link", "tun.name"), "remove one of them", "packets go through a device or through a link, not both")
	case !u.Peer.IsValid() && !u.AnyPeer:
		k.problem("link", "name the other end, or set link.udp.any: true (--link-any)", "the link has no peer")
	case u.Peer.IsValid() && (u.Peer.Port() == 0 || u.Peer.Addr().IsUnspecified()):
		k.problem("link", "give its address and port", "%s cannot be a peer", u.Peer)
	case u.Peer.IsValid() && !u.Listen.Addr().IsUnspecified() && u.Listen.Addr().Is4() != u.Peer.Addr().Is4():
		k.problem("link", "use IPv4 on both sides, or IPv6", "%s and %s are of different families", u.Listen, u.Peer)
	default:
		k.unusedTun()
	}
}

// unusedTun tells of what is said of a device that there is not.
func (k *checker) unusedTun() {
	for _, key := range []string{"mode", "create", "queues", "offload", "mtu", "host", "mac", "bridge", "gateway"} {
		hint := "remove it"
		if key == "mtu" {
			hint = "set link.udp.mtu"
		}
		if k.rank("tun."+key) > rankBuiltIn {
			k.warn("tun."+key, hint, "unused, as packets go through the link")
		}
	}
}

// String returns the link the way the file has it.
func (l Link) String() string {
	u := l.UDP
	s := fmt.Sprintf("{udp: {listen: %q", u.Listen)
	if u.Peer.IsValid() {
		s += fmt.Sprintf(", peer: %q", u.Peer)
	}
	s += fmt.Sprintf(", any: %t", u.AnyPeer)
	if u.MTU != 0 {
		s += fmt.Sprintf(", mtu: %d", u.MTU)
	}
	return s + "}}"
}

// Impair says how bad the link is made, in each direction alike. The zero value leaves it as it is.
type Impair struct {
	Loss, Duplicate, Reorder, Corrupt Percent // of the packets
	Delay, Jitter                     time.Duration
	Rate                              BitRate  // 0: without limit
	Queue                             ByteSize // what may wait for the rate; 0: automatic
	Seed                              int
	Prefix                            netip.Prefix // packets from or to these addresses only
	Port                              int          // those from or to this port only; 0: all
}

// impair takes the keys below impair.
func (d *decoder) impair(i *Impair) field {
	return d.mapping(map[string]field{
		"loss":      value(d, &i.Loss, parsePercent),
		"duplicate": value(d, &i.Duplicate, parsePercent),
		"reorder":   value(d, &i.Reorder, parsePercent),
		"corrupt":   value(d, &i.Corrupt, parsePercent),
		"delay":     value(d, &i.Delay, parseDuration),
		"jitter":    value(d, &i.Jitter, parseDuration),
		"rate":      value(d, &i.Rate, parseBitRate),
		"queue":     value(d, &i.Queue, parseByteSize),
		"seed":      value(d, &i.Seed, integer(0, 1<<31-1, "")),
		"prefix":    value(d, &i.Prefix, parseScope),
		"port":      value(d, &i.Port, integer(0, 65535, "")),
	})
}

// ParseImpair reads the keys of impair from a text by itself; what is not set is not impaired.
func ParseImpair(name string, text []byte) (Impair, error) {
	var c Config
	d := &decoder{origin: map[string]Location{}, failed: map[string]bool{}}
	root, problems := parse(&source{name: name, text: text})
	d.problems = problems
	if root != nil {
		d.impair(&c.Impair)("", root)
	}
	k := checker{c: &c, d: d}
	k.impair("")
	if len(d.problems) > 0 {
		return Impair{}, d.errors()
	}
	return c.Impair, nil
}

// impair checks the values against each other. path is where they are.
func (k *checker) impair(path string) {
	i := &k.c.Impair
	switch {
	case i.Jitter > i.Delay:
		k.problem(join(path, "jitter"), "make delay at least as long", "%v is longer than the delay, %v, which it varies", i.Jitter, i.Delay)
	case i.Delay > time.Hour:
		k.problem(join(path, "delay"), "write at most 1h", "%v is too long", i.Delay)
	case i.Queue > 0 && i.Rate == 0:
		k.problem(join(path, "queue"), "set a rate too", "nothing waits without a rate")
	}
}

// String returns the settings the way the file has them.
func (i Impair) String() string {
	var parts []string
	put := func(set bool, key string, value any) {
		if set {
			parts = append(parts, fmt.Sprintf("%s: %v", key, value))
		}
	}
	put(i.Loss > 0, "loss", i.Loss)
	put(i.Duplicate > 0, "duplicate", i.Duplicate)
	put(i.Reorder > 0, "reorder", i.Reorder)
	put(i.Corrupt > 0, "corrupt", i.Corrupt)
	put(i.Delay > 0, "delay", duration(i.Delay))
	put(i.Jitter > 0, "jitter", duration(i.Jitter))
	put(i.Rate > 0, "rate", i.Rate)
	put(i.Queue > 0, "queue", i.Queue)
	put(i.Seed != 0, "seed", i.Seed)
	put(i.Prefix.IsValid(), "prefix", strconv.Quote(i.Prefix.String()))
	put(i.Port != 0, "port", i.Port)
	return "{" + strings.Join(parts, ", ") + "}"
}

// Percent is a part of a hundred. In the file it carries its sign.
type Percent float64

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'g', -1, 64) + "%" }

func parsePercent(s string) (Percent, error) {
	const hint = "write a number from 0 to 100 with a percent sign, like 1% or 0.1%"
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok && err == nil && n == 0 {
		return 0, nil
	}
	if !ok || err != nil || !(n >= 0 && n <= 100) {
		return 0, wrong(hint, "%s is no percentage", short(s))
	}
	return Percent(n), nil
}

// BitRate is a number of bits a second. In the file it carries a unit: kbit, mbit, gbit.
type BitRate float64

var bitUnits = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}}

func (r BitRate) String() string {
	for _, u := range bitUnits {
		if float64(r) >= u.bits {
			return strconv.FormatFloat(float64(r)/u.bits, 'g', -1, 64) + u.name
		}
	}
	return "0"
}

func parseBitRate(s string) (BitRate, error) {
	const hint = "write a number and a unit, like 100mbit, 500kbit or 1gbit"
	if s == "0" {
		return 0, nil
	}
	for _, u := range bitUnits {
		digits, ok := strings.CutSuffix(strings.ToLower(s), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n*u.bits >= 1e3 && n*u.bits <= 1e12) {
			return 0, wrong(hint, "%s is not a rate between 1kbit and 1000gbit", short(s))
		}
		return BitRate(n * u.bits), nil
	}
	return 0, wrong(hint, "%s is a rate without a unit that is known here", short(s))
}

// parseScope reads a prefix, or an address, which stands for itself.
func parseScope(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if strings.Contains(s, "%") {
		return p, zoned(s)
	}
	if err != nil {
		return p, wrong(`write a prefix like 10.77.0.0/24, or an address`, "%s is neither a prefix nor an address", short(s))
	}
	return p.Masked(), nil
}
