package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
)

// settings is a configuration of the daemon. The zero value has no service, an MTU of 1500 and both address families.
type settings struct {
	tun      []string // further keys of tun, as "key: value"
	mtu      int
	attach   bool     // create: false
	services []string // each a YAML flow mapping
	drain    string
}

// minIPv6MTU is the smallest MTU that a link may have for IPv6 (RFC 8200 section 5).
const minIPv6MTU = 1280

const echoService = `{name: echo, listen: ":7", echo: {}}`

// proxyService forwards a port to a backend. Further keys of proxy may follow the backend's address.
func proxyService(name string, port int, to string, more ...string) string {
	keys := strings.Join(append([]string{fmt.Sprintf("to: %q", to)}, more...), ", ")
	return fmt.Sprintf(`{name: %s, listen: ":%d", proxy: {%s}}`, name, port, keys)
}

// yaml returns the text of the file. The control socket goes into dir, so that daemons do not meet.
func (s settings) yaml(dir string) string {
	if s.mtu == 0 {
		s.mtu = 1500
	}
	host, addresses := `[10.77.0.1/24, "fd77::1/64"]`, `[10.77.0.2/24, "fd77::2/64"]`
	if s.mtu < minIPv6MTU {
		host, addresses = `[10.77.0.1/24]`, `[10.77.0.2/24]`
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tun:\n  name: tcp0\n  create: %v\n", !s.attach)
	if !s.attach {
		fmt.Fprintf(&b, "  mtu: %d\n  host: %s\n", s.mtu, host)
	}
	for _, key := range s.tun {
		fmt.Fprintf(&b, "  %s\n", key)
	}
	fmt.Fprintf(&b, "addresses: %s\nservices: [%s]\n", addresses, strings.Join(s.services, ", "))
	fmt.Fprintf(&b, "metrics: {listen: %q}\n", metricsAddress)
	fmt.Fprintf(&b, "control: {socket: %s}\n", filepath.Join(dir, "control.sock"))
	if s.drain != "" {
		fmt.Fprintf(&b, "shutdown: {drain: %s}\n", s.drain)
	}
	return b.String()
}
