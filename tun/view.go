package tun

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ether"
)

const (
	maxName = unix.IFNAMSIZ - 1
	minMTU  = 68    // RFC 791
	minMTU6 = 1280  // RFC 8200, section 5: below it the kernel takes IPv6 off the link
	maxMTU  = 65535 // of the driver

	// txQueueLen is the length of the ring between the kernel and us. When it is full the kernel drops without holding the
	// sender back; the default of 500 is less than the windows of a few dozen connections without offload.
	txQueueLen = 5000
)

// view is how we see and change the network of the host. It belongs to the network namespace it was made in.
type view struct {
	mu      sync.Mutex
	netlink *netlink.Handle // nil: the sandbox has no AF_NETLINK; sysfs and ioctl have to do
	barred  error           // why there is no netlink
	socket  int             // for ioctl
	routes  *routes
}

// facts is what is known of an interface.
type facts struct {
	exists     bool
	kind       string
	tunTap     bool
	tap        bool
	multiQueue bool
	queues     int // attached, where several may be; 0 also where that cannot be known (sysfs)
	persistent bool
	uid, gid   uint32 // who may attach without a capability; both 0: anybody
	index      int
	mtu        int
	txQueueLen int
	up         bool
	long       bool      // the kernel knows super-packets of more than 64 KiB, also of IPv4 (since Linux 6.3)
	master     int       // the index of the bridge that it is a port of; 0: of none
	mac        ether.MAC // of the kernel's side
}

func newView() (*view, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket to ask for interfaces: %w", err)
	}
	v := &view{socket: socket, routes: newRoutes()}
	if h, err := netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		v.barred = err
	} else {
		v.netlink = h
	}
	return v, nil
}

func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.netlink != nil {
		v.netlink.Close()
	}
	if v.socket >= 0 {
		unix.Close(v.socket)
	}
	v.netlink, v.socket = nil, -1
	v.routes.close()
}

// look gathers the facts about an interface. Netlink goes before sysfs, which shows the network namespace of whoever
// mounted it.
func (v *view) look(name string) (facts, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.netlink == nil {
		return v.lookSysfs(name)
	}
	link, err := v.netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return facts{}, nil
	}
	if err != nil {
		return facts{}, fmt.Errorf("looking for interface %s: %w", name, err)
	}
	return factsOf(link), nil
}

func factsOf(link netlink.Link) facts {
	a := link.Attrs()
	f := facts{
		exists: true, kind: link.Type(), index: a.Index, mtu: a.MTU, txQueueLen: a.TxQLen,
		up: a.RawFlags&unix.IFF_UP != 0, long: a.GSOIPv4MaxSize != 0, master: a.MasterIndex,
	}
	copy(f.mac[:], a.HardwareAddr)
	t, ok := link.(*netlink.Tuntap)
	if !ok {
		return f
	}
	f.kind, f.tunTap, f.tap = "tun", true, t.Mode == netlink.TUNTAP_MODE_TAP
	f.multiQueue, f.persistent = t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0, !t.NonPersist
	f.uid, f.gid = t.Owner, t.Group
	if f.multiQueue {
		f.queues = t.Queues + t.DisabledQueues
	}
	return f
}

// lookSysfs is look without netlink.
func (v *view) lookSysfs(name string) (facts, error) {
	dir := filepath.Join("/sys/class/net", name)
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return facts{}, nil
		}
		return facts{}, err
	}
	f := facts{exists: true, kind: "other"}
	f.index, _ = readNumber(dir, "ifindex")
	f.mtu, _ = readNumber(dir, "mtu")
	f.txQueueLen, _ = readNumber(dir, "tx_queue_len")
	flags, _ := readNumber(dir, "flags")
	f.up = flags&unix.IFF_UP != 0
	if flags, err := readNumber(dir, "tun_flags"); err == nil {
		f.kind, f.tunTap, f.tap = "tun", true, flags&unix.IFF_TAP != 0
		f.multiQueue, f.persistent = flags&unix.IFF_MULTI_QUEUE != 0, flags&unix.IFF_PERSIST != 0
		f.uid, f.gid = readOwner(dir, "owner"), readOwner(dir, "group")
	}
	return f, nil
}

func readNumber(dir, file string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 0, 64)
	return int(n), err
}

// readOwner reads a file that says -1 where there is no owner.
func readOwner(dir, file string) uint32 {
	n, _ := readNumber(dir, file)
	return uint32(max(n, 0))
}

// dropped returns how many packets for us the kernel has dropped, and whether that can be known.
func (v *view) dropped(name string, index int) (uint64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.netlink == nil {
		n, err := readNumber(filepath.Join("/sys/class/net", name, "statistics"), "tx_dropped")
		return uint64(n), err == nil
	}
	link, err := v.netlink.LinkByIndex(index)
	if err != nil || link.Attrs().Statistics == nil {
		return 0, false
	}
	return link.Attrs().Statistics.TxDropped, true
}
