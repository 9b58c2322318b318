package tun

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// bufferSize has room for the largest frame and one byte more, which shows that a frame was cut off.
const bufferSize = headerLen + maxPacket + 1

// maxPieces is UIO_MAXIOV, less one for the virtio header.
const maxPieces = 1023

// queue is one queue of a device: the path of packets in both directions. Its endpoint changes when the device is
// re-attached.
type queue struct {
	device   *Device
	kernel   calls
	end      atomic.Pointer[endpoint]
	counters counters

	reader
	writer
}

// reader is used under its lock, which is held from the first packet of a Read or Poll to its last: packets are delivered
// in order, whoever reads them. Its functions are built once: a closure for each packet would be an allocation for each
// packet.
type reader struct {
	reading  sync.Mutex
	buf      []byte
	n        int
	readErr  syscall.Errno
	readOnce func(fd uintptr)
	readWait func(fd uintptr) bool
}

// writer is used under its lock. TUN takes writes of several threads at a time, but the packets of a queue come from one
// shard, or from several that share it because it carries all there is, and leave one by one.
type writer struct {
	mu        sync.Mutex
	header    [headerLen]byte
	iov       []unix.Iovec
	written   int
	writeErr  syscall.Errno
	writeOnce func(fd uintptr)
	segmenter ip.Segmenter
	cutter    ip.Segmenter // of what is too long, into what may have to be segmented
	to        *endpoint    // where emit and emitPart write to
	emit      func(*ip.Outgoing) error
	emitPart  func(*ip.Outgoing) error
}

// calls are the two system calls of the packet path. Tests put others in their place to see errors that a healthy kernel
// does not give.
type calls struct {
	read   func(fd uintptr, b []byte) (int, syscall.Errno)
	writev func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno)
}

// readFrame reads from a non-blocking file. It does not tell the Go scheduler: the call copies at most 64 KiB and returns.
func readFrame(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// writeFrame does not either, though the whole receive path of the kernel runs inside the call: that takes microseconds. A
// scheduler that knew of it would look every 20 us whether to give the processor to another thread, and often do so.
func writeFrame(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func newQueue(d *Device) *queue {
	q := &queue{device: d, kernel: calls{readFrame, writeFrame}}
	q.buf = make([]byte, bufferSize)
	q.readOnce = func(fd uintptr) { q.n, q.readErr = q.kernel.read(fd, q.buf) }
	q.readWait = func(fd uintptr) bool {
		q.reading.Lock()
		if q.n, q.readErr = q.kernel.read(fd, q.buf); q.readErr != unix.EAGAIN {
			return true
		}
		q.reading.Unlock() // nobody reads while we wait
		return false
	}
	q.iov = make([]unix.Iovec, 0, 64)
	q.writeOnce = func(fd uintptr) { q.written, q.writeErr = q.kernel.writev(fd, q.iov) }
	q.emit = func(p *ip.Outgoing) error {
		return q.count(p.Len(), false, q.send(q.to, p, false))
	}
	q.emitPart = func(p *ip.Outgoing) error { return q.take(q.to, p) }
	return q
}

// wait blocks until a frame is read into buf, and then holds the lock of the reader. The error says why this endpoint cannot
// be read any more; the lock is not held then.
func (q *queue) wait(end *endpoint) error {
	if err := end.conn.Read(q.readWait); err != nil {
		return err
	}
	if e := q.readErr; e != 0 {
		q.reading.Unlock()
		return e
	}
	return nil
}

// drain delivers what can be read at once, up to max frames, and returns how many were delivered.
func (q *queue) drain(end *endpoint, max int, deliver func([]byte, ip.Offload)) (delivered int, err error) {
	for range max {
		if err := end.conn.Control(q.readOnce); err != nil {
			return delivered, err
		}
		if q.readErr == unix.EAGAIN {
			return delivered, nil
		}
		if q.readErr != 0 {
			return delivered, q.readErr
		}
		delivered += q.accept(end, deliver)
	}
	return delivered, nil
}

// accept delivers the frame in buf, and returns 0 if it was dropped instead.
func (q *queue) accept(end *endpoint, deliver func([]byte, ip.Offload)) int {
	packet, o, drop := q.buf[:q.n], ip.Offload{}, HeaderOK
	switch {
	case end.at.header:
		packet, o, drop = parseHeader(packet)
	case len(packet) == 0:
		drop = HeaderEmpty
	case len(packet) > maxPacket:
		drop = FrameOversize
	}
	if drop != HeaderOK {
		q.counters.headerDrops[drop].Add(1)
		return 0
	}
	q.counters.read(len(packet), o.SegmentSize != 0)
	deliver(packet, o)
	return 1
}

// write sends p whole if the device takes it so, else in parts.
func (q *queue) write(p *ip.Outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	end, size, super := q.end.Load(), p.Len(), isSuper(p)
	switch {
	case size > longPacket || size > maxPacket && !super:
		q.counters.drop(WriteTooLong)
		return nil
	case len(p.Payload) > maxPieces:
		q.counters.drop(WritePieces)
		return nil
	case len(p.Header) < ip.HeaderLen4 || super && len(p.Header) < p.NetworkLen+tcpHeaderMin:
		q.counters.drop(WriteMalformed)
		return nil
	case size > shortPacket && super && p.Header[0]>>4 == 4, size > maxPacket:
		return q.takeLong(end, p)
	}
	return q.take(end, p)
}

// isSuper: the data of p do not fit into one segment.
func isSuper(p *ip.Outgoing) bool {
	return p.Offload.SegmentSize != 0 && p.Len()-len(p.Header) > int(p.Offload.SegmentSize)
}

// take sends what is no longer than its header can tell.
func (q *queue) take(end *endpoint, p *ip.Outgoing) error {
	super, partial := isSuper(p), p.Offload.Checksum == ip.ChecksumPartial
	if super && !(partial && end.at.gso.Load()) || partial && !end.at.header {
		return q.segment(end, p, super)
	}
	e := q.send(end, p, super)
	if e == unix.EINVAL && partial && end.at.header {
		// Some kernels refuse what they announced. The packet is not lost for it, and the flow goes on.
		q.refused(end, super)
		return q.segment(end, p, super)
	}
	return q.count(p.Len(), super, e)
}

// takeLong sends a super-packet that is longer than its header can tell, in parts if the kernel does not take it.
func (q *queue) takeLong(end *endpoint, p *ip.Outgoing) error {
	if end.at.long.Load() && p.Offload.Checksum == ip.ChecksumPartial {
		switch e := q.send(end, p, true); e {
		case unix.EMSGSIZE, unix.EINVAL:
			q.refusedLong(end)
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM: // for this one, which needs large pages
		default:
			return q.count(p.Len(), true, e)
		}
	}
	q.to = end
	err := q.cutter.Cut(p, shortPacket, q.emitPart)
	if err == ip.ErrNotSegmentable {
		q.counters.drop(WriteMalformed)
		return nil
	}
	return err
}

// segment cuts p into packets that need nothing from the kernel.
func (q *queue) segment(end *endpoint, p *ip.Outgoing, super bool) error {
	if super {
		q.counters.segmented.Add(1)
	}
	q.to = end
	err := q.segmenter.Split(p, q.emit)
	if err == ip.ErrNotSegmentable {
		q.counters.drop(WriteMalformed)
		return nil
	}
	return err
}

// send gathers header and payload of p into one frame. Called with the lock held.
func (q *queue) send(end *endpoint, p *ip.Outgoing, super bool) syscall.Errno {
	q.iov = q.iov[:0]
	if end.at.header {
		putHeader(&q.header, p, super)
		q.gather(q.header[:])
	}
	q.gather(p.Header)
	for _, piece := range p.Payload {
		q.gather(piece)
	}
	err := end.conn.Control(q.writeOnce)
	clear(q.iov) // the stack's buffers are not ours to keep alive
	if err != nil {
		return unix.EBADFD // closed: by Close, or because the device is being attached again
	}
	return q.writeErr
}

func (q *queue) gather(b []byte) {
	if len(b) > 0 {
		q.iov = append(q.iov, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
	}
}

// count books the outcome of a write. It returns an error only if there will never be another write.
func (q *queue) count(size int, super bool, e syscall.Errno) error {
	switch e {
	case 0:
		q.counters.wrote(size, super)
	case unix.EIO:
		q.counters.drop(WriteLinkDown)
	case unix.EBADFD:
		q.counters.drop(WriteGone)
		return q.device.finalError()
	case unix.EINVAL:
		q.counters.drop(WriteRefused)
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		q.counters.drop(WriteNoBuffer)
	default:
		q.counters.drop(WriteOther)
	}
	return nil
}
