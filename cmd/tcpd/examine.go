package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"tcpd/config"
	"tcpd/tun"
)

// surroundings are what doctor looks at.
type surroundings interface {
	// executables returns where this program is, and what a shell starts for its name; empty if nothing.
	executables() (own, first string)
	// controlError returns why the daemon cannot be asked.
	controlError() error
	openNode() error
	// mayAdminister reports CAP_NET_ADMIN, and who we are.
	mayAdminister() (admin bool, uid uint32, gids []uint32)
	device(name string) (tun.DeviceInfo, error)
	routeTo(a netip.Addr) (device string, err error)
	sysctl(name string) (string, error)
	// ruleset returns what `nft -j list ruleset` prints.
	ruleset() ([]byte, error)
}

// examiner makes the checks.
type examiner struct {
	c *config.Config
	s surroundings
	d *diagnosis
}

// path: Debian's package tcpd (TCP wrappers) has another program of the same name.
func (e *examiner) path() {
	own, first := e.s.executables()
	if first == "" || first == own {
		e.d.add("path", right, "no other program named tcpd comes first in PATH")
		return
	}
	e.d.add("path", missing, fmt.Sprintf("PATH finds another tcpd first: %s", first), "export PATH="+filepath.Dir(own)+":$PATH")
}

func (e *examiner) control() {
	where := e.c.Control.Socket
	err := e.s.controlError()
	switch {
	case where == "":
		e.d.add("control", right, "there is no control socket, as configured")
	case err == nil:
		e.d.add("control", right, "a daemon answers at "+where)
	case errors.Is(err, fs.ErrPermission):
		e.d.add("control", missing, "this user may not ask the daemon at "+where, "sudo tcpd status --socket "+where)
	default:
		e.d.add("control", unknown, fmt.Sprintf("no daemon to be asked: %v", err))
	}
}

func (e *examiner) node() {
	err := e.s.openNode()
	switch {
	case err == nil:
		e.d.add("node", right, "/dev/net/tun can be opened")
	case errors.Is(err, fs.ErrPermission):
		e.d.add("node", missing, "this user may not open /dev/net/tun", "chmod 0666 /dev/net/tun")
	default:
		e.d.add("node", missing, fmt.Sprintf("/dev/net/tun cannot be opened: %v", err), "modprobe tun")
	}
}

// device looks at the device that is there, or at the right to make one.
func (e *examiner) device() {
	t := e.c.Tun
	add := fmt.Sprintf("ip tuntap add dev %s mode %s user $(id -un)", t.Name, t.Mode)
	info, err := e.s.device(t.Name)
	admin, uid, gids := e.s.mayAdminister()
	switch {
	case err != nil:
		e.d.add("device", unknown, fmt.Sprintf("%s cannot be looked at: %v", t.Name, err))
	case !info.Exists && !t.Create:
		e.d.add("device", missing, t.Name+" is not there, and tun.create is false", add)
	case !info.Exists && !admin:
		e.d.add("device", missing, "making "+t.Name+" needs CAP_NET_ADMIN", "sudo "+add)
	case !info.Exists:
		e.d.add("device", right, t.Name+" is not there, and will be made")
	case info.Kind != "tun": // which is not ours to delete
		e.d.add("device", missing, fmt.Sprintf("%s is of kind %q, not a TUN or TAP: set another tun.name", t.Name, info.Kind))
	case info.TAP != (t.Mode == "tap"):
		e.d.add("device", missing, fmt.Sprintf("%s is of the other mode than tun.mode, which is %s", t.Name, t.Mode), "ip link delete "+t.Name, add)
	default:
		e.attachable(info, admin || owns(info, uid, gids))
	}
}

// owns reports whether the kernel lets us attach without a capability: a device may have a user and a group, and whom either keeps
// out stays out (tun_not_capable of drivers/net/tun.c).
func owns(info tun.DeviceInfo, uid uint32, gids []uint32) bool {
	return (info.UID < 0 || info.UID == int(uid)) && (info.GID < 0 || slices.Contains(gids, uint32(info.GID)))
}

// owner names who may attach.
func owner(info tun.DeviceInfo) string {
	switch {
	case info.GID < 0:
		return fmt.Sprintf("uid %d", info.UID)
	case info.UID < 0:
		return fmt.Sprintf("gid %d", info.GID)
	}
	return fmt.Sprintf("uid %d in gid %d", info.UID, info.GID)
}

// attachable looks at a device of the right kind.
func (e *examiner) attachable(info tun.DeviceInfo, mayAttach bool) {
	t := e.c.Tun
	remake := []string{"ip link delete " + t.Name, fmt.Sprintf("ip tuntap add dev %s mode %s multi_queue user $(id -un)", t.Name, t.Mode)}
	if !mayAttach {
		e.d.add("device", missing, fmt.Sprintf("%s belongs to %s, and this user has no CAP_NET_ADMIN", t.Name, owner(info)),
			"sudo "+remake[0], "sudo "+strings.Replace(remake[1], " multi_queue", "", 1))
	} else {
		e.d.add("device", right, t.Name+" is a "+t.Mode+" that this user may attach to")
	}
	if t.Queues > 1 && !info.MultiQueue {
		e.d.add("queues", missing, fmt.Sprintf("%s has a single queue, and tun.queues is %d", t.Name, t.Queues), remake...)
	}
	if info.TxQueueLen < tun.WantedTxQueueLen {
		e.d.add("txqueuelen", missing, fmt.Sprintf("the ring of %s has room for %d packets and may overflow", t.Name, info.TxQueueLen),
			fmt.Sprintf("ip link set dev %s txqueuelen %d", t.Name, tun.WantedTxQueueLen))
	}
	if info.MTU < minMTU6 && len(e.family(false)) > 0 {
		e.d.add("mtu", missing, fmt.Sprintf("the MTU of %s is %d, and IPv6 needs %d", t.Name, info.MTU, minMTU6),
			fmt.Sprintf("ip link set dev %s mtu %d", t.Name, minMTU6))
	}
}

// minMTU6 is the least that a link with IPv6 carries (RFC 8200, section 5).
const minMTU6 = 1280

// family returns our addresses of IPv4 or IPv6.
func (e *examiner) family(v4 bool) (list []netip.Prefix) {
	for _, p := range e.c.Addresses {
		if p.Addr().Is4() == v4 {
			list = append(list, p)
		}
	}
	return list
}

// bridge: in mode tap the device has to be a port of one, or nobody but the kernel is there.
func (e *examiner) bridge() {
	t := e.c.Tun
	if t.Bridge != "" {
		if info, err := e.s.device(t.Bridge); err != nil || info.Kind != "bridge" {
			e.d.add("bridge", missing, "there is no bridge "+t.Bridge, "ip link add "+t.Bridge+" type bridge", "ip link set dev "+t.Bridge+" up")
			return
		}
		e.d.add("bridge", right, t.Bridge+" is a bridge")
		return
	}
	info, err := e.s.device(t.Name)
	if err == nil && info.Exists && !info.Bridge && len(t.Host) == 0 {
		e.d.add("bridge", missing, t.Name+" is no port of a bridge: nobody is there", "ip link set dev "+t.Name+" master br0")
	}
}

// route: the kernel has to send packets for our addresses to the device.
func (e *examiner) route() {
	t := e.c.Tun
	if info, err := e.s.device(t.Name); err != nil || !info.Exists {
		e.d.add("route", unknown, "routes are there when "+t.Name+" is")
		return
	}
	routed := true // of IPv4
	for _, p := range e.c.Addresses {
		via, err := e.s.routeTo(p.Addr())
		if err == nil && via == t.Name {
			e.d.add("route", right, fmt.Sprintf("the kernel sends to %v through %s", p.Addr(), t.Name))
			continue
		}
		why := fmt.Sprintf("the kernel sends to %v through %s", p.Addr(), via)
		if err != nil {
			why = fmt.Sprintf("the kernel has no route to %v: %v", p.Addr(), err)
		}
		routed = routed && !p.Addr().Is4()
		e.d.add("route", missing, why, fmt.Sprintf("ip route replace %v dev %s", netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), t.Name))
	}
	if len(e.family(true)) > 0 {
		e.reversePath(routed)
	}
}

// reversePath: a strict filter, 1, drops what comes from addresses that the kernel would not send to through the device. The
// larger value of the device and of all counts.
func (e *examiner) reversePath(routed bool) {
	key := "net.ipv4.conf." + e.c.Tun.Name + ".rp_filter"
	all, err := e.s.sysctl("net.ipv4.conf.all.rp_filter")
	own, err2 := e.s.sysctl(key)
	switch {
	case err != nil || err2 != nil:
		e.d.add("rp_filter", unknown, fmt.Sprintf("the reverse path filter could not be checked: %v", errors.Join(err, err2)))
	case max(all, own) != "1":
		e.d.add("rp_filter", right, "the reverse path filter is not strict")
	case routed:
		e.d.add("rp_filter", right, "the reverse path filter is strict, and the routes satisfy it")
	default:
		e.d.add("rp_filter", missing, "the strict reverse path filter drops what comes from tcpd", "sysctl -w "+key+"=2")
	}
}

func (e *examiner) forwarding() {
	for _, f := range []struct {
		v4           bool
		name, sysctl string
	}{{true, "IPv4", "net.ipv4.ip_forward"}, {false, "IPv6", "net.ipv6.conf.all.forwarding"}} {
		if len(e.family(f.v4)) == 0 {
			continue
		}
		switch value, err := e.s.sysctl(f.sysctl); {
		case err != nil:
			e.d.add("forwarding", unknown, fmt.Sprintf("forwarding of %s could not be checked: %v", f.name, err))
		case value == "0":
			e.d.add("forwarding", missing, "the kernel forwards no "+f.name+": only the host itself is reached", "sysctl -w "+f.sysctl+"=1")
		default:
			e.d.add("forwarding", right, "the kernel forwards "+f.name)
		}
	}
}
