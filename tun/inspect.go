package tun

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// DeviceInfo is what the kernel tells of an interface.
type DeviceInfo struct {
	Exists     bool
	Kind       string // "tun" for TUN and TAP, else the kernel's word
	TAP        bool
	MultiQueue bool
	UID, GID   int  // who may attach without a capability: whom both allow; -1 allows everybody
	MTU        int  // bytes
	TxQueueLen int  // packets
	Bridge     bool // it is a bridge, or a port of one
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
	if err != nil {
		return DeviceInfo{}, err
	}
	info := DeviceInfo{
		Exists: f.exists, Kind: f.kind, TAP: f.tap, MultiQueue: f.multiQueue, UID: int(f.uid), GID: int(f.gid), MTU: f.mtu,
		TxQueueLen: f.txQueueLen, Bridge: f.kind == "bridge" || f.master != 0,
	}
	if f.tunTap && (f.uid == 0 || f.gid == 0) {
		info.UID, info.GID, err = owners(f.index)
	}
	return info, err
}

// owners returns the user and group of a device, -1 for none: an attribute that the kernel leaves out, which package netlink gives
// as 0, like root.
func owners(index int) (uid, gid int, err error) {
	request, about := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0), nl.NewIfInfomsg(unix.AF_UNSPEC)
	about.Index = int32(index)
	request.AddData(about)
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(answers) == 0 {
		return -1, -1, err
	}
	attribute := func(in []byte, kind uint16) []byte {
		list, _ := nl.ParseRouteAttr(in)
		for _, a := range list {
			if a.Attr.Type&nl.NLA_TYPE_MASK == kind {
				return a.Value
			}
		}
		return nil
	}
	data := attribute(attribute(answers[0][unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO), nl.IFLA_INFO_DATA)
	number := func(b []byte) int {
		if len(b) < 4 {
			return -1
		}
		return int(nl.NativeEndian().Uint32(b))
	}
	return number(attribute(data, nl.IFLA_TUN_OWNER)), number(attribute(data, nl.IFLA_TUN_GROUP)), nil
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
