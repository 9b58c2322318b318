package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const nic = 1

// Buffers of gVisor: as large as Linux's defaults allow them to become.
const (
	bufferLeast       = 4 << 10
	bufferFirst       = 1 << 20
	receiveBufferMost = 8 << 20
	sendBufferMost    = 6 << 20
)

// listenGvisor starts gVisor's netstack on a TUN device that exists, with what makes it fastest: super-packets both ways, no
// checksums in software, SACK, buffers that grow.
func listenGvisor(device string, own netip.Addr) (listenFunc, error) {
	end, err := newEndpoint(device)
	if err != nil {
		return nil, err
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC},
	})
	if err := tuneGvisor(s); err != nil {
		return nil, err
	}
	if e := s.CreateNIC(nic, end); e != nil {
		return nil, errors.New(e.String())
	}
	address := tcpip.AddrFromSlice(own.AsSlice())
	e := s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address.WithPrefix(),
	}, stack.AddressProperties{})
	if e != nil {
		return nil, errors.New(e.String())
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return func(port uint16) (net.Listener, error) {
		return gonet.ListenTCP(s, tcpip.FullAddress{NIC: nic, Addr: address, Port: port}, ipv4.ProtocolNumber)
	}, nil
}

func tuneGvisor(s *stack.Stack) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	for _, option := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: bufferLeast, Default: bufferFirst, Max: receiveBufferMost},
		&tcpip.TCPSendBufferSizeRangeOption{Min: bufferLeast, Default: bufferFirst, Max: sendBufferMost},
	} {
		if e := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); e != nil {
			return fmt.Errorf("gVisor's option %T: %v", option, e)
		}
	}
	return nil
}
