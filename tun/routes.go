package tun

import (
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// routes asks the kernel where it takes packets to. It has a socket of its own: a connection that asks must not wait for a device
// that is being set up.
type routes struct {
	mu      sync.Mutex
	netlink *netlink.Handle // nil: there is no AF_NETLINK
	known   map[ip.Addr]bool
	since   time.Time // of the oldest in known
}

// Asking takes the kernel ten microseconds: a peer with many connections is asked for once a second.
const (
	keepRoutes = time.Second
	mostRoutes = 1024
)

func newRoutes() *routes {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return &routes{}
	}
	return &routes{netlink: h}
}

func (r *routes) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.netlink != nil {
		r.netlink.Close()
		r.netlink = nil
	}
}

// deliver reports that an address is one of the kernel's own: it delivers packets for it to a socket, and forwards none.
func (r *routes) deliver(to ip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.netlink == nil {
		return false
	}
	if now := time.Now(); r.known == nil || len(r.known) == mostRoutes || now.Sub(r.since) > keepRoutes {
		r.known, r.since = make(map[ip.Addr]bool), now
	}
	local, known := r.known[to]
	if !known {
		local = isLocal(r.netlink, to.Netip().AsSlice())
		r.known[to] = local
	}
	return local
}

func isLocal(h *netlink.Handle, to net.IP) bool {
	found, err := h.RouteGet(to)
	return err == nil && len(found) > 0 && found[0].Type == unix.RTN_LOCAL
}
