package tun

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DeviceInfo is what the kernel tells of an interface.
type DeviceInfo struct {
	Exists     bool
	Kind       string // "tun" for TUN and TAP, else the kernel's word
	TAP        bool
	MultiQueue bool
	UID, GID   uint32 // who may attach without a capability; both 0: anybody
	MTU        int    // bytes
	TxQueueLen int    // packets
	Bridge     bool   // it is a bridge, or a port of one
}

// WantedTxQueueLen is what Open raises the ring of a device to, in packets.
const WantedTxQueueLen = txQueueLen

// Inspect looks at an interface. It changes nothing.
func Inspect(name string) (DeviceInfo, error) {
	v, err := newView()
	if err != nil {
		return DeviceInfo{}, err
	}
	defer v.close()
	f, err := v.look(name)
	return DeviceInfo{
		Exists: f.exists, Kind: f.kind, TAP: f.tap, MultiQueue: f.multiQueue, UID: f.uid, GID: f.gid, MTU: f.mtu,
		TxQueueLen: f.txQueueLen, Bridge: f.kind == "bridge" || f.master != 0,
	}, err
}

// OpenCloneDevice opens the device node that all devices come from, and closes it again.
func OpenCloneDevice() error {
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// RouteTo returns the name of the interface through which the kernel sends to an address.
func RouteTo(a netip.Addr) (string, error) {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil {
		return "", err
	}
	if len(routes) == 0 {
		return "", fmt.Errorf("no route to %v", a)
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", err
	}
	return link.Attrs().Name, nil
}
