package stack

import (
	"net"
	"net/netip"
	"os"
	"time"

	"tcpd/ip"
	"tcpd/tcp"
)

// Conn is a connection. It is a net.Conn and behaves as a *net.TCPConn does; its methods may be called by any goroutine.
type Conn struct {
	shard *shard
	flow  tcp.Flow

	// Guarded by the shard's lock.
	core      *tcp.Conn // nil: closed
	read      side
	write     side
	connected bool          // an active open has ended, well or not
	lingers   bool          // Close sends RST, see SetLinger
	lost      bool          // ended by the stack, not by Close
	over      bool          // failed or closed
	done      chan struct{} // made by Done, closed with over
	counted   bool          // by sources
}

var _ net.Conn = (*Conn)(nil)

// Read reads what has arrived, 128 KiB at most. It blocks while there is nothing. After the peer's FIN it returns io.EOF,
// after a reset an error that is syscall.ECONNRESET. Bytes that came before either are read first.
func (c *Conn) Read(b []byte) (int, error) {
	sh := c.shard
	now := c.read.begin(sh, sh.lock())
	n, err := c.readLocked(&now, b)
	c.read.end(sh)
	sh.leaveRead(now)
	if err != nil {
		return n, c.opError("read", err)
	}
	return n, nil
}

// readLocked reads, or blocks until it can. It gives the lock up meanwhile and moves now on.
func (c *Conn) readLocked(now *tcp.Time, b []byte) (n int, err error) {
	if len(b) == 0 { // package net asks no deadline either
		return 0, c.open()
	}
	for {
		if err := c.usable(&c.read, *now); err != nil {
			return 0, err
		}
		if len(b) < lendFrom {
			n, err = c.shard.table.Read(*now, c.core, b)
		} else {
			n, err = c.readLent(now, b[:min(len(b), lendRead)])
		}
		if n > 0 || err != nil {
			return n, err
		}
		c.block(&c.read, now)
	}
}

// Write writes all of b, and blocks while there is no room. It returns when the bytes are in the send buffer; they are sent
// again until the peer has acknowledged them, or the connection fails and that is what later calls return.
func (c *Conn) Write(b []byte) (int, error) {
	sh := c.shard
	now := c.write.begin(sh, sh.lock())
	n, err := c.writeLocked(&now, b)
	if c.core != nil {
		sh.table.SetMore(c.core, false)
	}
	c.write.end(sh)
	sh.leave(now)
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

// writeLocked writes all of b; what is written is sent between pieces, in full segments.
func (c *Conn) writeLocked(now *tcp.Time, b []byte) (written int, err error) {
	for {
		if err := c.usable(&c.write, *now); err != nil {
			return written, err
		}
		n := 0
		if len(b) < lendFrom {
			n, err = c.shard.table.Write(*now, c.core, b)
		} else {
			n, err = c.writeLent(now, b[:min(len(b), lendWrite)])
		}
		b = b[n:]
		written += n
		if err != nil || len(b) == 0 {
			return written, err
		}
		c.shard.table.SetMore(c.core, true)
		switch n {
		case 0:
			c.block(&c.write, now)
		default:
			c.shard.leave(*now)
			*now = c.shard.lock()
		}
	}
}

// usable reports why a call in one direction must not go on.
func (c *Conn) usable(s *side, now tcp.Time) error {
	if err := c.open(); err != nil {
		return err
	}
	if s.expired(now) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// open reports why the connection is not.
func (c *Conn) open() error {
	switch {
	case c.core == nil && c.lost:
		return tcp.ErrAborted
	case c.core == nil:
		return net.ErrClosed
	}
	return nil
}

// block gives the lock up until something has changed in one direction.
func (c *Conn) block(s *side, now *tcp.Time) {
	wake := s.prepare(c.shard, *now)
	c.shard.leave(*now)
	<-wake
	*now = s.resume(c.shard)
}

// Close gives the connection up. What was written is still delivered, then FIN; with bytes received that nobody has read, or
// after SetLinger(0), the peer gets RST. Calls that block return an error that is net.ErrClosed.
func (c *Conn) Close() error {
	sh := c.shard
	now := sh.lock()
	if c.core == nil {
		lost := c.lost
		c.lost = false
		sh.leave(now)
		if lost {
			return nil
		}
		return c.opError("close", net.ErrClosed)
	}
	var w wakes
	core := c.core
	sh.abandon(c, &w)
	if c.lingers {
		sh.table.Abort(now, core)
	} else {
		sh.table.Close(now, core)
	}
	sh.leave(now)
	w.send()
	return nil
}

// CloseWrite tells the peer, by FIN after the last byte written, that no more follows. Reading goes on.
func (c *Conn) CloseWrite() error {
	var w wakes
	defer func() { w.send() }()
	return c.change("close", func(now tcp.Time) error {
		c.write.rouse(&w) // a Write that waits for room waits for nothing
		return c.shard.table.CloseWrite(now, c.core)
	})
}

// change calls f, which concerns a connection that is open, under the lock.
func (c *Conn) change(op string, f func(now tcp.Time) error) error {
	sh := c.shard
	now := sh.lock()
	err := c.open()
	if err == nil {
		err = f(now)
	}
	sh.leave(now)
	if err != nil {
		return c.opError(op, err)
	}
	return nil
}

// Done returns a channel that is closed when the connection has failed (reset by the peer, timed out) or Close was called.
// It is for those who neither read nor write at that time. An orderly end is none: Close follows it.
func (c *Conn) Done() <-chan struct{} {
	sh := c.shard
	now := sh.lock()
	defer sh.leave(now)
	if c.done == nil {
		c.done = make(chan struct{})
		if c.over {
			close(c.done)
		}
	}
	return c.done
}

// finish ends what Done tells of.
func (c *Conn) finish() {
	if !c.over && c.done != nil {
		close(c.done)
	}
	c.over = true
}

// LocalAddr returns our end, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return tcpAddr(c.flow.Local, c.flow.LocalPort) }

// RemoteAddr returns the other end, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return tcpAddr(c.flow.Remote, c.flow.RemotePort) }

func tcpAddr(a ip.Addr, port uint16) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Netip(), port))
}

func (c *Conn) opError(op string, err error) error {
	return opError(op, c.LocalAddr(), c.RemoteAddr(), err)
}

// SetDeadline sets the deadlines of Read and of Write; see SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.read, &c.write) }

// SetReadDeadline sets the instant after which Read, also one that blocks already, returns an error that is
// os.ErrDeadlineExceeded. The zero time means none.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.read) }

// SetWriteDeadline is SetReadDeadline for Write. A Write that ran out of time may have written a part.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.write) }

func (c *Conn) setDeadline(t time.Time, sides ...*side) error {
	sh := c.shard
	now := sh.lock()
	if err := c.open(); err != nil {
		sh.leave(now)
		return c.opError("set", err)
	}
	at := deadline(now, t)
	var w wakes
	for _, s := range sides {
		s.deadline = at
		s.rouse(&w)
	}
	sh.leave(now)
	w.send()
	return nil
}

// deadline converts an instant of the wall clock, or of the monotonic clock in a time.Time, to the stack's clock.
func deadline(now tcp.Time, t time.Time) tcp.Time {
	if t.IsZero() {
		return 0
	}
	d := time.Until(t)
	if d <= 0 {
		return max(now, 1)
	}
	return now.Add(tcp.Duration(d))
}
