package main

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connector opens connections, sends a byte, waits for it to come back and closes, with many under way. One thread and epoll: a
// client that costs little leaves the processors to the contenders.
type connector struct {
	to      unix.Sockaddr
	sources []netip.Addr
	next    int // source
	epoll   int
	written map[int32]bool // by descriptor, of those under way
	o       outcome
}

func connect(l *load) (outcome, error) {
	c := &connector{to: sockaddr(l.to, portEcho), sources: l.sources, written: map[int32]bool{}}
	var err error
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return c.o, err
	}
	for range l.flows {
		if err := c.open(); err != nil {
			return c.o, err
		}
	}
	if err := c.runFor(l.warm); err != nil {
		return c.o, err
	}
	c.o = outcome{}
	start := time.Now()
	err = c.runFor(l.time)
	c.o.Seconds = time.Since(start).Seconds()
	if err == nil && c.o.Operations == 0 {
		err = fmt.Errorf("no connection was completed in %v", l.time)
	}
	return c.o, err
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
}

// open begins another connection, from the next of the addresses.
func (c *connector) open() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// The port is chosen when the peer is known, so that each peer has all of them.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	c.next = (c.next + 1) % len(c.sources)
	if err := unix.Bind(fd, sockaddr(c.sources[c.next], 0)); err != nil {
		return err
	}
	if err := unix.Connect(fd, c.to); err != unix.EINPROGRESS && err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.written[int32(fd)] = false
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET&0xffffffff, Fd: int32(fd),
	})
}

func (c *connector) runFor(d time.Duration) error {
	var events [64]unix.EpollEvent
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		n, err := unix.EpollWait(c.epoll, events[:], int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if err := c.advance(e.Fd, e.Events); err != nil {
				return err
			}
		}
	}
}

// advance does what a connection is ready for. One that ends makes place for another.
func (c *connector) advance(fd int32, events uint32) error {
	b := [1]byte{'x'}
	if events&unix.EPOLLOUT != 0 && !c.written[fd] {
		if _, err := unix.Write(int(fd), b[:]); err == nil {
			c.written[fd] = true
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return nil
	}
	if n, err := unix.Read(int(fd), b[:]); err == unix.EAGAIN {
		return nil
	} else if n == 1 {
		c.o.Operations++
	} else {
		c.o.Failed++
	}
	delete(c.written, fd)
	unix.Close(int(fd))
	return c.open()
}
