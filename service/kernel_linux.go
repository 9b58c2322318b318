package service

import (
	"net"
	"syscall"
)

// tcpClose is TCP_CLOSE of include/net/tcp_states.h.
const tcpClose = 7

// closedState returns why the kernel's socket is over, nil while it is not.
func closedState(fd uintptr) error {
	// The first byte of struct tcp_info is the state; the kernel copies as many bytes as it is asked for.
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil || info&0xff != tcpClose {
		return nil
	}
	why, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err != nil || why == 0 {
		return syscall.ECONNRESET // a Write was told already
	}
	return syscall.Errno(why)
}

// hiddenReset returns the error behind an EOF that is none: Linux reports a RST once, and if a Write was told, the Read
// beside it gets EOF. Once FIN was sent on conn the answer means nothing: the orderly end is TCP_CLOSE as well.
func hiddenReset(conn net.Conn) (err error) {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, failed := c.SyscallConn()
	if failed != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { err = closedState(fd) })
	return err
}

// kernelOver is over for a socket of the kernel. After EOF a RST makes the socket readable once more, which wakes the
// poller's reader; Close of the socket ends the wait.
func kernelOver(c *net.TCPConn) (err error) {
	raw, failed := c.SyscallConn()
	if failed != nil {
		return nil
	}
	_ = raw.Read(func(fd uintptr) bool {
		err = closedState(fd)
		return err != nil
	})
	return err
}
