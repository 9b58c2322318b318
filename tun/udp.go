package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

const (
	udpHeaderLen = 8
	// maxUDPPayload is what a datagram carries at most (RFC 768), less an IPv6 header of the tunnel.
	maxUDPPayload = 65535 - udpHeaderLen - ip.HeaderLen6
	// pathEvery is how often the path MTU of the tunnel is looked up again: the kernel forgets a smaller one after ten
	// minutes, and then packets may grow.
	pathEvery = 15 * time.Second
	// peerPathEvery is how often it is looked up at most because there is another peer: that takes a socket.
	peerPathEvery = time.Second
	// udpBuffer is asked for in both directions; an unprivileged process gets what net.core.rmem_max allows.
	udpBuffer = 4 << 20
)

// UDPConfig says between which addresses a UDP link runs.
type UDPConfig struct {
	// Local is where datagrams are awaited. Its address may be unspecified, its port 0 lets the kernel choose.
	Local netip.AddrPort
	// Peer is the other end. Datagrams from anywhere else are not received, unless AnyPeer.
	Peer netip.AddrPort
	// AnyPeer takes datagrams from everybody and sends to whoever was heard last; Peer may then be left out.
	AnyPeer bool
	// MTU bounds the IP packets carried, in bytes; 0 is what the path takes.
	MTU int
	// Logf receives what an operator should know. May be nil.
	Logf func(format string, args ...any)
}

// UDP is a link that carries each IP packet in a UDP datagram of its own, to the same kind of link elsewhere. It needs no
// privilege. Super-packets are cut in software. Its methods keep to the contract of Device; it has one queue.
type UDP struct {
	cfg      UDPConfig
	conn     *net.UDPConn
	raw      syscall.RawConn
	pinned   bool
	mtu      atomic.Int64
	peer     atomic.Pointer[netip.AddrPort] // nil: nobody was heard yet
	counters counters
	closing  chan struct{}
	once     sync.Once

	reading  sync.Mutex
	in       []byte
	n        int
	from     unix.Sockaddr
	latest   sender        // that the peer was made of
	told     time.Time     // when a change of the peer was last logged
	moved    chan struct{} // the peer has changed: the path has to be followed
	readErr  error
	readOnce func(fd uintptr)
	readWait func(fd uintptr) bool

	writing   sync.Mutex
	out       []byte
	segmenter ip.Segmenter
	emit      func(*ip.Outgoing) error
}

// OpenUDP opens a link over UDP. The peer need not be there yet.
func OpenUDP(cfg UDPConfig) (*UDP, error) {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	conn, err := cfg.open()
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("UDP link: another program has %v, choose another local address: %w", cfg.Local, err)
	}
	if err != nil {
		return nil, fmt.Errorf("UDP link: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("UDP link: %w", err)
	}
	u := &UDP{
		cfg: cfg, conn: conn, raw: raw, pinned: !cfg.AnyPeer,
		closing: make(chan struct{}), moved: make(chan struct{}, 1), in: make([]byte, 1<<16),
	}
	if cfg.Peer.IsValid() {
		u.peer.Store(&cfg.Peer)
	}
	u.readOnce = func(fd uintptr) { u.receive(int(fd)) }
	u.readWait = func(fd uintptr) bool {
		u.reading.Lock()
		if u.receive(int(fd)); u.readErr != unix.EAGAIN {
			return true
		}
		u.reading.Unlock() // nobody reads while we wait
		return false
	}
	u.emit = u.send
	u.followPath()
	go u.watchPath(u.followPath)
	return u, nil
}

func (c *UDPConfig) check() error {
	switch {
	case !c.Local.IsValid():
		return errors.New("UDP link: no local address: write udp:LOCAL,REMOTE, for example udp:127.0.0.1:7001,127.0.0.1:7002")
	case !c.Peer.IsValid() && !c.AnyPeer:
		return errors.New("UDP link: no peer: name the other end, or accept any peer")
	case c.Peer.IsValid() && (c.Peer.Port() == 0 || c.Peer.Addr().IsUnspecified()):
		return fmt.Errorf("UDP link: %v cannot be a peer: give an address and a port", c.Peer)
	case c.Peer.IsValid() && !c.Local.Addr().IsUnspecified() && c.Local.Addr().Is4() != c.Peer.Addr().Is4():
		return fmt.Errorf("UDP link: %v and %v are of different families", c.Local, c.Peer)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxUDPPayload):
		return fmt.Errorf("UDP link: MTU %d: must be between %d and %d bytes", c.MTU, minMTU, maxUDPPayload)
	}
	return nil
}

// open makes the socket. It is connected to a pinned peer: the kernel drops what others send, and tells of its path.
func (c *UDPConfig) open() (*net.UDPConn, error) {
	local := net.UDPAddrFromAddrPort(c.Local)
	family, first := "udp", c.Local.Addr()
	if c.Peer.IsValid() && first.IsUnspecified() {
		local.IP, first = nil, c.Peer.Addr() // of the peer's family
		family = "udp6"
	}
	if first.Is4() {
		family = "udp4" // 0.0.0.0 would be every address of both families
	}
	var conn *net.UDPConn
	var err error
	if c.AnyPeer {
		conn, err = net.ListenUDP(family, local)
	} else {
		conn, err = net.DialUDP(family, local, net.UDPAddrFromAddrPort(c.Peer))
	}
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(udpBuffer) // as much as the system lets us have
	_ = conn.SetWriteBuffer(udpBuffer)
	if err := dontFragment(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Name returns where the link begins.
func (u *UDP) Name() string { return "udp:" + u.conn.LocalAddr().String() }

// LocalAddr returns the address of the socket, with the port the kernel chose if that was left to it.
func (u *UDP) LocalAddr() netip.AddrPort {
	a := u.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Queues returns 1.
func (u *UDP) Queues() int { return 1 }

// MTU returns the largest IP packet in bytes that the path of the tunnel takes.
func (u *UDP) MTU() int { return int(u.mtu.Load()) }

// Read blocks until there is a packet, then delivers up to max. After Close it returns an error that is os.ErrClosed.
func (u *UDP) Read(_, max int, deliver func(packet []byte, o ip.Offload)) error {
	for {
		if err := u.raw.Read(u.readWait); err != nil {
			return u.errClosed()
		}
		n := u.accept(deliver)
		more := u.drain(max-1, deliver)
		u.reading.Unlock()
		if n+more > 0 {
			return nil
		}
	}
}

// Poll delivers up to max packets that are there and returns their number; none while another goroutine reads.
func (u *UDP) Poll(_, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	if !u.reading.TryLock() {
		return 0, nil
	}
	defer u.reading.Unlock()
	if u.isClosed() {
		return 0, u.errClosed()
	}
	return u.drain(max, deliver), nil
}

func (u *UDP) drain(max int, deliver func([]byte, ip.Offload)) (n int) {
	for range max {
		if err := u.raw.Control(u.readOnce); err != nil || u.readErr == unix.EAGAIN {
			return n
		}
		n += u.accept(deliver)
	}
	return n
}

// receive reads one datagram into in.
func (u *UDP) receive(fd int) {
	if u.pinned {
		u.n, u.readErr = unix.Read(fd, u.in)
		return
	}
	u.n, u.from, u.readErr = unix.Recvfrom(fd, u.in, 0)
}

// accept delivers the datagram in the buffer, and returns 0 if there is none: an ICMP error of the tunnel's path, which the
// socket reports instead, says only that the peer is not there, for now.
func (u *UDP) accept(deliver func([]byte, ip.Offload)) int {
	switch {
	case u.readErr != nil:
		return 0
	case u.n == 0:
		u.counters.headerDrops[HeaderEmpty].Add(1)
		return 0
	}
	if v := u.in[0] >> 4; !u.pinned && (v == 4 || v == 6) { // what is no IP packet is not from a peer
		u.heard(u.from)
	}
	u.counters.read(u.n, false)
	deliver(u.in[:u.n], ip.Offload{})
	return 1
}

// Write sends a packet, a super-packet in its segments, with complete checksums.
func (u *UDP) Write(_ int, p *ip.Outgoing) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	if p.Offload == (ip.Offload{}) {
		return u.send(p)
	}
	if p.Offload.SegmentSize != 0 {
		u.counters.segmented.Add(1)
	}
	err := u.segmenter.Split(p, u.emit)
	if err == ip.ErrNotSegmentable {
		u.counters.drop(WriteMalformed)
		return nil
	}
	return err
}

// send puts one packet into one datagram. Called with the lock held.
func (u *UDP) send(p *ip.Outgoing) error {
	if n := p.Len(); n == 0 || n > maxUDPPayload {
		u.counters.drop(WriteTooLong)
		return nil
	}
	u.out = append(u.out[:0], p.Header...)
	for _, piece := range p.Payload {
		u.out = append(u.out, piece...)
	}
	var err error
	switch to := u.peer.Load(); {
	case u.pinned:
		_, err = u.conn.Write(u.out)
	case to == nil:
		u.counters.drop(WriteNoPeer)
		return nil
	default:
		_, err = u.conn.WriteToUDPAddrPort(u.out, *to)
	}
	return u.count(err)
}

// count books the outcome of a write. Only Close makes it final.
func (u *UDP) count(err error) error {
	switch {
	case err == nil:
		u.counters.wrote(len(u.out), false)
	case errors.Is(err, net.ErrClosed):
		u.counters.drop(WriteGone)
		return u.errClosed()
	case errors.Is(err, unix.EMSGSIZE):
		u.counters.drop(WriteTooLong)
		u.followPath()
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		u.counters.drop(WriteNoPeer)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		u.counters.drop(WriteNoBuffer)
	default:
		u.counters.drop(WriteOther)
	}
	return nil
}

// Close ends every Read with an error that is os.ErrClosed.
func (u *UDP) Close() error {
	u.once.Do(func() { close(u.closing) })
	return u.conn.Close()
}

// Stats returns what has passed.
func (u *UDP) Stats() Stats {
	var s Stats
	u.counters.addTo(&s)
	s.LinkUp = !u.isClosed()
	return s
}

func (u *UDP) isClosed() bool {
	select {
	case <-u.closing:
		return true
	default:
		return false
	}
}

func (u *UDP) errClosed() error { return fmt.Errorf("%s: %w", u.Name(), os.ErrClosed) }
