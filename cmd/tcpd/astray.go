package main

import (
	"fmt"
	"net/netip"
	"strings"

	"tcpd/tun"
)

// warnOfRoutes says which addresses the kernel does not send to the device: a daemon that is ready and that nobody reaches looks
// like one that works. Whose host addresses somebody else assigns is given time for it.
func (d *daemon) warnOfRoutes() {
	c := d.config()
	if c.Link.UDP.Used() || c.Tun.Mode == "tap" {
		return
	}
	if text := astray(c.Addresses, d.link.Name(), tun.RouteTo); text != "" {
		d.log.Warn(text)
	}
}

// astray describes the addresses for which the kernel's route is another device's, empty if there are none. One without any route
// is no other's.
func astray(own []netip.Prefix, device string, routeTo func(netip.Addr) (string, error)) string {
	var list []string
	for _, p := range own {
		if via, err := routeTo(p.Addr()); err == nil && via != device {
			list = append(list, fmt.Sprintf("%v (through %s)", p.Addr(), via))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("the kernel sends packets for these addresses elsewhere, not to %s: %s. Another daemon or the kernel has them; "+
		"choose others, or see tcpd doctor", device, strings.Join(list, ", "))
}
