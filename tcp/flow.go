package tcp

import (
	"fmt"
	"net/netip"

	"tcpd/ip"
)

// Flow names a connection: our end and the other one.
type Flow struct {
	Local, Remote         ip.Addr
	LocalPort, RemotePort uint16
}

func (f Flow) String() string {
	return fmt.Sprint(netip.AddrPortFrom(f.Local.Netip(), f.LocalPort), " - ", netip.AddrPortFrom(f.Remote.Netip(), f.RemotePort))
}

// headerLen is the length of the network header of the flow's packets.
func (f *Flow) headerLen() int {
	if f.Local.Is4() {
		return ip.HeaderLen4
	}
	return ip.HeaderLen6
}
