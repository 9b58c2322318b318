package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configure gives the kernel's side of the link its MTU, ring, addresses and life. What is as it should be is not touched,
// so that a device that was set up beforehand needs no capability here either.
func (v *view) configure(f facts, cfg Config, logf func(string, ...any)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.netlink == nil {
		return fmt.Errorf("setting addresses and MTU needs netlink, which is barred here (%w): "+
			"allow AF_NETLINK, or set the device up elsewhere and set tun.create: false", v.barred)
	}
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: cfg.Name, Index: f.index}}
	if cfg.MTU != 0 && cfg.MTU != f.mtu {
		if err := v.netlink.LinkSetMTU(link, cfg.MTU); err != nil {
			return change(err, "the MTU is %d and should be %d", f.mtu, cfg.MTU)
		}
		f.mtu = cfg.MTU
	}
	if f.txQueueLen < txQueueLen {
		if err := v.netlink.LinkSetTxQLen(link, txQueueLen); err != nil {
			logf("tun %s: the ring stays at %d packets, and may overflow: raising it to %d failed (%v)", cfg.Name, f.txQueueLen, txQueueLen, err)
		}
	}
	if err := v.addresses(link, f.mtu, cfg, logf); err != nil {
		return err
	}
	if err := v.joinBridge(link, f, cfg.bridge); err != nil {
		return err
	}
	if !f.up {
		if err := v.netlink.LinkSetUp(link); err != nil {
			return change(err, "the link is down")
		}
	}
	if !cfg.tap {
		v.awaitAddresses(link)
	}
	return nil
}

// awaitAddresses waits until the kernel receives on the IPv6 addresses of the link. It makes their local routes in the background,
// also without duplicate address detection, and drops what arrives before: the first packets of who starts at once. That takes a
// moment; after a second somebody else has to find out why.
func (v *view) awaitAddresses(link netlink.Link) {
	list, err := v.netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return
	}
	for range 1000 {
		list = slices.DeleteFunc(list, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() || isLocal(v.netlink, a.IP) })
		if len(list) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// joinBridge makes the device a port of a bridge, if there is one to be a port of.
func (v *view) joinBridge(link netlink.Link, f facts, name string) error {
	if name == "" {
		return nil
	}
	bridge, err := v.netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("the bridge %s: %w: make it with `ip link add %s type bridge`, or set another tun.bridge", name, err, name)
	}
	if bridge.Type() != "bridge" {
		return fmt.Errorf("%s is of kind %q, not a bridge: set another tun.bridge", name, bridge.Type())
	}
	if f.master == bridge.Attrs().Index {
		return nil
	}
	if err := v.netlink.LinkSetMaster(link, bridge); err != nil {
		return change(err, "the device is no port of the bridge %s", name)
	}
	return nil
}

// addresses adds those of the host's addresses that are missing. Others are left alone: they may be the operator's.
func (v *view) addresses(link netlink.Link, mtu int, cfg Config, logf func(string, ...any)) error {
	if len(cfg.Host) == 0 {
		return nil
	}
	existing, err := v.netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("reading the addresses of the host's side: %w", err)
	}
	present := map[netip.Prefix]bool{}
	for _, a := range existing {
		present[prefixOf(a.IPNet)] = true
	}
	for _, p := range cfg.Host {
		if present[p] {
			continue
		}
		if p.Addr().Is6() && mtu < minMTU6 {
			logf("tun %s: no address %v on the host's side: IPv6 needs an MTU of %d, and this one is %d", cfg.Name, p, minMTU6, mtu)
			continue
		}
		err := v.netlink.AddrReplace(link, addressOf(p))
		if p.Addr().Is6() && noIPv6(err) {
			logf("tun %s: no address %v on the host's side: the host has IPv6 switched off (%v)", cfg.Name, p, err)
			continue
		}
		if err != nil {
			return change(err, "the host's side lacks the address %v", p)
		}
	}
	return nil
}

// readdress adds what is missing of the host's IPv6 addresses. The others nobody took away who might not have meant it.
func (v *view) readdress(f facts, cfg Config) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.netlink == nil {
		return nil // closed meanwhile
	}
	cfg.Host = slices.DeleteFunc(slices.Clone(cfg.Host), func(p netip.Prefix) bool { return p.Addr().Is4() })
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: cfg.Name, Index: f.index}}
	return v.addresses(link, f.mtu, cfg, cfg.Logf)
}

// addressOf returns p as the kernel wants it. There is nobody else on the link to have the same address, so that waiting
// for duplicate address detection (RFC 4862, section 5.4) would only delay the first connections by a second.
func addressOf(p netip.Prefix) *netlink.Addr {
	bits := p.Addr().BitLen()
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits)}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// noIPv6 reports whether an address was refused because the host does without IPv6: built without, or disable_ipv6.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

// change explains why something on the host's side is not as configured.
func change(err error, what string, args ...any) error {
	what = fmt.Sprintf(what, args...)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s, and to change that needs CAP_NET_ADMIN: %w: run as root, or set the device up elsewhere and set tun.create: false", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
