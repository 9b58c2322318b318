package tun

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// probe reports whether the kernel takes super-packets from us. It writes one whose virtio header is faultless while the
// IPv4 header claims to be 0 bytes long. The driver looks at the former only, and refuses with EINVAL if it has to; on a
// device that is down, which a new one is, it then says EIO and nothing has happened. On one that is up, the kernel's IP
// input drops the packet as its first act, before netfilter, routing and sockets; captures and the counter InHdrErrors
// show it.
func probe(conn syscall.RawConn, writev func(uintptr, []unix.Iovec) (int, syscall.Errno)) bool {
	const size, segment = 2 * 1448, 1448
	frame := make([]byte, headerLen+ip.HeaderLen4+tcpHeaderMin+size)
	packet := frame[headerLen:]
	packet[0] = 4 << 4
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	packet[9] = ip.ProtocolTCP
	packet[ip.HeaderLen4+12] = tcpHeaderMin / 4 << 4
	putHeader((*[headerLen]byte)(frame), &ip.Outgoing{
		Header:         packet[:ip.HeaderLen4+tcpHeaderMin],
		NetworkLen:     ip.HeaderLen4,
		ChecksumOffset: tcpChecksumOffset,
		Offload:        ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: segment},
	}, true)
	var e syscall.Errno
	iov := []unix.Iovec{{Base: &frame[0], Len: uint64(len(frame))}}
	if err := conn.Control(func(fd uintptr) { _, e = writev(fd, iov) }); err != nil {
		return false
	}
	return e != unix.EINVAL
}

// refusedLong is called when the kernel has refused a super-packet of more than 64 KiB.
func (q *queue) refusedLong(end *endpoint) {
	if d := q.device; end.at.long.CompareAndSwap(true, false) {
		d.fallbacks.Add(1)
		d.cfg.Logf("tun %s: the kernel refuses super-packets of more than 64 KiB; cutting them from now on", d.cfg.Name)
	}
}

// refused is called when the kernel has refused a packet that left work to it. If it refuses the probe too, super-packets
// are given up until the device is attached again; if not, it was this one packet.
func (q *queue) refused(end *endpoint, super bool) {
	if !super || probe(end.conn, q.kernel.writev) {
		return
	}
	if d := q.device; end.at.gso.CompareAndSwap(true, false) {
		d.fallbacks.Add(1)
		d.cfg.Logf("tun %s: the kernel refuses super-packets; cutting them in software from now on", d.cfg.Name)
	}
}
