package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// checker holds the values of a configuration against each other.
type checker struct {
	c *Config
	d *decoder
}

func (k *checker) problem(path, hint, format string, args ...any) {
	k.d.problem(k.d.origin[path], path+": "+fmt.Sprintf(format, args...), hint)
}

func (k *checker) warn(path, hint, format string, args ...any) {
	p := Problem{At: k.d.origin[path], What: path + ": " + fmt.Sprintf(format, args...), Hint: hint}
	k.c.Warnings = append(k.c.Warnings, p)
}

func (k *checker) check() {
	if k.sound("addresses") {
		k.addresses()
	}
	if k.sound("link") {
		k.link()
	}
	if k.sound("addresses", "tun") && !k.c.Link.UDP.Used() {
		k.mtu()
		k.tap()
		k.host()
	}
	if k.sound("impair") {
		k.impair("impair")
	}
	if k.sound("addresses", "metrics") {
		k.hostListeners()
	}
	if k.sound("tcp") {
		k.times("tcp", &k.c.TCP)
	}
	k.services()
}

// sound reports whether the values at the paths could be read.
func (k *checker) sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return k.d.failed[p] })
}

func (k *checker) rank(path string) int { return k.d.origin[path].rank() }

// own reports whether a is one of our addresses.
func (k *checker) own(a netip.Addr) bool {
	return slices.ContainsFunc(k.c.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

func (k *checker) addresses() {
	if len(k.c.Addresses) == 0 {
		k.problem("addresses", "write what tcpd is to answer to, like [10.77.0.2/24]", "there is not one address")
	}
	k.duplicates("addresses", k.c.Addresses)
}

func (k *checker) duplicates(path string, prefixes []netip.Prefix) {
	seen := map[netip.Addr]bool{}
	for i, p := range prefixes {
		if seen[p.Addr()] {
			k.problem(fmt.Sprintf("%s[%d]", path, i), "remove one of them", "%s is here twice", p.Addr())
		}
		seen[p.Addr()] = true
	}
}

// mtu: an IPv6 link carries packets of 1280 bytes (RFC 8200, section 5).
func (k *checker) mtu() {
	if k.c.Tun.MTU >= 1280 {
		return
	}
	for _, p := range k.c.Addresses {
		if p.Addr().Is6() {
			k.problem("tun.mtu", "raise it to 1280, or set addresses without IPv6",
				"%d bytes are too few for the IPv6 address %s: IPv6 needs at least 1280 (RFC 8200)", k.c.Tun.MTU, p.Addr())
			return
		}
	}
}

// host checks the kernel's side, which exists only if we create the device.
func (k *checker) host() {
	t := &k.c.Tun
	switch {
	case !t.Create:
		if k.rank("tun.host") > rankBuiltIn && len(t.Host) > 0 {
			k.warn("tun.host", "give the device its addresses where it is created", "unused, as tun.create is false")
		}
		t.Host = nil
		return
	case t.Mode == "tap" && len(t.Host) == 0:
		return // the kernel has no part in this network
	case k.rank("addresses") > k.rank("tun.host"):
		if !k.deriveHost() {
			return
		}
	}
	k.duplicates("tun.host", t.Host)
	for i, h := range t.Host {
		if k.own(h.Addr()) {
			k.problem(k.later(fmt.Sprintf("tun.host[%d]", i), "addresses"), "the kernel and tcpd need an address each",
				"%s is also among addresses", h.Addr())
		}
	}
	for i, a := range k.c.Addresses {
		reachable := slices.ContainsFunc(t.Host, func(h netip.Prefix) bool { return h.Contains(a.Addr()) })
		if !reachable {
			k.problem(k.later(fmt.Sprintf("addresses[%d]", i), "tun.host"), hostHint(a),
				"%s is in no prefix of tun.host, the kernel would have no route to it", a.Addr())
		}
	}
}

// later returns which of two paths was set in the higher layer: what the user wrote is to blame, not a default.
func (k *checker) later(a, b string) string {
	if k.rank(b) > k.rank(a) {
		return b
	}
	return a
}

func hostHint(a netip.Prefix) string {
	if h, ok := neighbour(a, []netip.Prefix{a}); ok {
		return fmt.Sprintf("add %s to tun.host, or choose an address within it", h)
	}
	return "give it a shorter prefix length, or choose an address within tun.host"
}

// deriveHost gives the kernel the first free address of each network of ours, for the user has named our addresses only. It
// reports whether there was one in each.
func (k *checker) deriveHost() bool {
	k.c.Tun.Host = nil
	complete := true
	for i, a := range k.c.Addresses {
		covered := slices.ContainsFunc(k.c.Tun.Host, func(h netip.Prefix) bool { return h.Contains(a.Addr()) })
		if covered {
			continue
		}
		h, ok := neighbour(a, slices.Concat(k.c.Addresses, k.c.Tun.Host))
		if !ok {
			k.problem(fmt.Sprintf("addresses[%d]", i), "give it a shorter prefix length, or set tun.host",
				"the network of %s has no address left for the kernel's side", a)
			complete = false
			continue
		}
		k.c.Tun.Host = append(k.c.Tun.Host, h)
	}
	return complete
}

// neighbour returns the first host address in the network of p that is none of taken, and no edge of their networks.
func neighbour(p netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		h := netip.PrefixFrom(a, p.Bits())
		clash := slices.ContainsFunc(taken, func(t netip.Prefix) bool {
			return t.Addr() == a || t.Contains(a) && unicastHost(netip.PrefixFrom(a, t.Bits())) != nil
		})
		if !clash && unicastHost(h) == nil {
			return h, true
		}
	}
	return netip.Prefix{}, false
}

func (k *checker) services() {
	if len(k.c.Services) == 0 && k.sound("services") {
		k.warn("services", "", "there are none: only ping will be answered")
	}
	names := map[string]int{}
	places := map[netip.AddrPort]string{}
	for i, s := range k.c.Services {
		path := fmt.Sprintf("services[%d]", i)
		if !k.sound(path) {
			continue
		}
		if first, twice := names[s.Name]; twice {
			k.problem(path+".name", "give each service a name of its own", "%q is services[%d] already", s.Name, first)
		} else {
			names[s.Name] = i
		}
		k.listen(path+".listen", s, places)
		k.http(path, s.HTTP)
		if s.OwnTCP {
			k.times(path+".tcp", &s.TCP)
		}
		k.proxy(path, s)
		k.datagram(path+".datagram", s)
		if s.Kind == "sink" {
			k.directory(path+".sink.dir", s.Sink.Dir,
				"let the user that tcpd runs as write there; under systemd name it in ReadWritePaths= too", writable)
		}
	}
}

// listen checks where a service listens against our addresses and the services before it. The same port of one address and
// of all of them is no conflict: the more exact place is asked first.
func (k *checker) listen(path string, s Service, places map[netip.AddrPort]string) {
	a := s.Listen.Addr()
	if k.sound("addresses") && a.IsValid() && !a.IsUnspecified() && !k.own(a) {
		k.problem(path, "add it to addresses, or leave the address out to listen on all of them", "%s is not one of addresses", a)
	}
	if other, taken := places[s.Listen]; taken && s.Listen.Port() != 0 {
		k.problem(path, "give one of them another port, or another address", "%s is taken by service %q", s.ListenText(), other)
	}
	places[s.Listen] = s.Name
}

func (k *checker) http(path string, h HTTP) {
	switch {
	case h.Root != "" && h.Body != "":
		k.problem(path+".http.body", "remove one of them", "root and body exclude each other")
	case h.Root != "":
		k.directory(path+".http.root", h.Root, "run the check as the user that tcpd runs as, and let that user read the directory", readable)
	}
}

// directory checks that there is one, and that usable finds it to be of use for the user that we are.
func (k *checker) directory(path, name, hint string, usable func(name string) error) {
	if !filepath.IsAbs(name) {
		k.warn(path, "write the path from the root on", "what %s is depends on where tcpd is started", short(name))
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is not a directory", name)
	case err == nil:
		err = usable(name)
	}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		k.problem(path, hint, "%v, as user %d", err, os.Geteuid())
	case err != nil:
		k.problem(path, "name a directory that exists", "%v", err)
	}
}

// readable: the service opens the directory before anything else.
func readable(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return root.Close()
}

// writable: files are made in the directory.
func writable(dir string) error {
	const cwd, write, search, effective = -100, 2, 1, 0x200 // AT_FDCWD, W_OK, X_OK and AT_EACCESS of faccessat(2)
	if err := syscall.Faccessat(cwd, dir, write|search, effective); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

// proxy refuses a backend that is one of our addresses: the kernel would route the connection back to us.
func (k *checker) proxy(path string, s Service) {
	if s.Kind != "proxy" {
		return
	}
	if s.Proxy.DialTimeout < time.Millisecond {
		k.problem(path+".proxy.dial_timeout", "write a time, like 5s", "%v is too short", s.Proxy.DialTimeout)
	}
	if s.Proxy.HalfCloseTimeout < time.Second {
		k.problem(path+".proxy.half_close_timeout", "write at least 1s", "%v is too short", s.Proxy.HalfCloseTimeout)
	}
	to, err := netip.ParseAddrPort(s.Proxy.Address)
	if s.Proxy.Network == "tcp" && err == nil && k.own(to.Addr().Unmap()) {
		k.problem(path+".proxy.to", "name a backend on another host, or on the loopback address",
			"%s is an address of tcpd itself, the connection would come back here for ever", to.Addr())
	}
}

// datagram refuses a backend that is one of our addresses, and settings of a backend that is not there.
func (k *checker) datagram(path string, s Service) {
	g := s.Datagram
	switch {
	case s.Kind != "datagram":
		return
	case g.To == "" && g != defaultDatagram():
		k.problem(path, `add to: "udp:127.0.0.1:53", or remove the other settings`, "only frames to a backend have settings, the echo has none")
	}
	if g.To == "" {
		return
	}
	if g.IdleTimeout < time.Second {
		k.problem(path+".idle_timeout", "write at least 1s", "%v is too short", g.IdleTimeout)
	}
	if g.AnswerWait < time.Millisecond {
		k.problem(path+".answer_wait", "write a time, like 2s", "%v is too short", g.AnswerWait)
	}
	to, err := netip.ParseAddrPort(g.To)
	if err == nil && k.own(to.Addr().Unmap()) {
		k.problem(path+".to", "name a backend on another host, or on the loopback address",
			"%s is an address of tcpd itself, which does not speak UDP", to.Addr())
	}
}

// times checks those that are of no use when too short.
func (k *checker) times(path string, t *TCP) {
	if t.UserTimeout < time.Second {
		k.problem(path+".user_timeout", "write at least 1s", "%v is too short", t.UserTimeout)
	}
	a := t.KeepAlive
	if !a.Enabled {
		return
	}
	if a.Idle < time.Second {
		k.problem(path+".keepalive.idle", "write at least 1s, or keepalive: off", "%v is too short", a.Idle)
	}
	if a.Interval < time.Second {
		k.problem(path+".keepalive.interval", "write at least 1s, or keepalive: off", "%v is too short", a.Interval)
	}
}

// hostListeners checks that metrics are served by the host's TCP, not on an address that the kernel does not own.
func (k *checker) hostListeners() {
	at, err := netip.ParseAddrPort(k.c.Metrics.Listen)
	if err == nil && k.own(at.Addr().Unmap()) {
		k.problem("metrics.listen", "use an address of the host, like 127.0.0.1:9320", "%s is an address of tcpd, the kernel cannot listen there", at.Addr())
	}
}
