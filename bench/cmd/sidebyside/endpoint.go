package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// endpoint joins gVisor's netstack and a TUN device: super-packets of up to 64 KiB both ways, with a virtio-net header each.
// What an endpoint has beyond that is the channel's, whose queue stays empty.
type endpoint struct {
	*channel.Endpoint
	fd       int
	deliver  stack.NetworkDispatcher
	received [3]*buffer.View // what the next packet is read into
}

// virtioHeader is virtio_net_hdr without the field of merged buffers.
const virtioHeader = 10

// viewSizes are the pieces a packet is received in: gVisor has pools of these sizes, and the first alone holds an ACK or a
// request.
var viewSizes = [3]int{2 << 10, 16 << 10, 64 << 10}

// newEndpoint attaches to a device that was made with vnet_hdr.
func newEndpoint(device string) (*endpoint, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(device)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, fmt.Errorf("TUN device %s: %w", device, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
		return nil, fmt.Errorf("offload of %s: %w", device, err)
	}
	e := &endpoint{Endpoint: channel.New(0, mtu, ""), fd: fd}
	e.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	e.SupportedGSOKind = stack.HostGSOSupported
	return e, nil
}

// Attach implements stack.LinkEndpoint.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil || e.deliver != nil {
		return
	}
	e.deliver = d
	go e.receive()
}

// IsAttached implements stack.LinkEndpoint.
func (e *endpoint) IsAttached() bool { return e.deliver != nil }

// receive hands packets over for ever. Only IPv4 is served.
func (e *endpoint) receive() {
	runtime.LockOSThread()
	var head [virtioHeader]byte
	for {
		vector := [1 + len(viewSizes)]unix.Iovec{piece(head[:])}
		for i, size := range viewSizes {
			if e.received[i] == nil {
				e.received[i] = buffer.NewViewSize(size)
			}
			vector[1+i] = piece(e.received[i].AsSlice())
		}
		n, err := transferVector(unix.SYS_READV, e.fd, vector[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != 0:
			log.Fatalf("gVisor's device: %v", err)
		case n > virtioHeader:
			e.handOver(n - virtioHeader)
		}
	}
}

// handOver gives a packet of n bytes to the stack, with the views that hold it.
func (e *endpoint) handOver(n int) {
	var payload buffer.Buffer
	for i := 0; n > 0; i++ {
		v := e.received[i]
		v.CapLength(min(n, viewSizes[i]))
		n -= v.Size()
		payload.Append(v)
		e.received[i] = nil
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	defer p.DecRef()
	p.RXChecksumValidated = true
	e.deliver.DeliverNetworkPacket(ipv4.ProtocolNumber, p)
}

// GSOMaxSize implements stack.GSOEndpoint: the largest TCP payload with the longest headers before it.
func (e *endpoint) GSOMaxSize() uint32 { return 65535 - 60 - 60 }

// WritePackets implements stack.LinkEndpoint.
func (e *endpoint) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	for i, p := range packets.AsSlice() {
		head := virtioHead(p)
		var room [32]unix.Iovec
		vector := append(room[:0], piece(head[:]))
		for _, s := range p.AsSlices() {
			if len(s) > 0 {
				vector = append(vector, piece(s))
			}
		}
		if _, err := transferVector(unix.SYS_WRITEV, e.fd, vector); err != 0 {
			return i, tcpip.TranslateErrno(err)
		}
	}
	return packets.Len(), nil
}

// virtioHead tells the kernel what is left to do on a packet: its checksum, and cutting it.
func virtioHead(p *stack.PacketBuffer) (h [virtioHeader]byte) {
	gso := &p.GSOOptions
	if gso.Type == stack.GSONone {
		return h
	}
	if gso.NeedsCsum {
		h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(h[6:], gso.L3HdrLen)
		binary.NativeEndian.PutUint16(h[8:], gso.CsumOffset)
	}
	if p.Data().Size() > int(gso.MSS) {
		h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
		binary.NativeEndian.PutUint16(h[2:], uint16(p.HeaderSize()))
		binary.NativeEndian.PutUint16(h[4:], gso.MSS)
	}
	return h
}

// piece is a part of a packet. The bytes must stay where they are until the call is over.
func piece(b []byte) unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}

func transferVector(call uintptr, fd int, vector []unix.Iovec) (int, unix.Errno) {
	n, _, err := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vector))), uintptr(len(vector)))
	return int(n), err
}
