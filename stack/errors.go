package stack

import (
	"io"
	"net"
	"os"
	"syscall"

	"tcpd/tcp"
)

// errnos says which error of the operating system's TCP an error of ours is, so that errors.Is works with both.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{tcp.ErrReset, syscall.ECONNRESET},
	{tcp.ErrTimeout, syscall.ETIMEDOUT},
	{tcp.ErrRefused, syscall.ECONNREFUSED},
	{tcp.ErrUnreachable, syscall.EHOSTUNREACH},
	{tcp.ErrAborted, syscall.ECONNABORTED},
	{tcp.ErrClosed, syscall.EPIPE},
	{tcp.ErrInUse, syscall.EADDRINUSE},
	{tcp.ErrLimit, syscall.ENFILE},
	{tcp.ErrMemory, syscall.ENOBUFS},
	{tcp.ErrPorts, syscall.EADDRNOTAVAIL},
	{tcp.ErrAddress, syscall.EADDRNOTAVAIL},
}

// osError turns an error of package tcp into what package net would show for it.
func osError(call string, err error) error {
	for _, e := range errnos {
		if err == e.err {
			return os.NewSyscallError(call, e.errno)
		}
	}
	return err
}

// opError wraps err once, at the edge to the application, as package net does. io.EOF stays bare.
func opError(op string, source, addr net.Addr, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: source, Addr: addr, Err: osError(op, err)}
}
