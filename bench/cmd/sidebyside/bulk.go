package main

import (
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pieceSize is how much a client reads or writes at once.
const pieceSize = 256 << 10

// received counts what the reading side of connections gets.
type received struct{ atomic.Uint64 }

func (r *received) read(conn net.Conn) {
	for b := make([]byte, pieceSize); ; {
		n, err := conn.Read(b)
		r.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

func write(conn net.Conn, size int) {
	for b := make([]byte, size); ; {
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// download counts what arrives.
func download(l *load) (outcome, error) {
	conns, err := l.dialAll(portChargen)
	if err != nil {
		return outcome{}, err
	}
	var total received
	for _, c := range conns {
		go total.read(c)
	}
	n, o, err := l.window(total.Load)
	o.Bytes = n
	return o, err
}

// upload counts what the server has acknowledged: what waits in a buffer does not count.
func upload(l *load) (outcome, error) {
	conns, err := l.dialAll(portDiscard)
	if err != nil {
		return outcome{}, err
	}
	for _, c := range conns {
		go write(c, pieceSize)
	}
	n, o, err := l.window(func() (sum uint64) {
		for _, c := range conns {
			sum += acknowledged(c)
		}
		return sum
	})
	o.Bytes = n
	return o, err
}

// acknowledged returns how many bytes the peer of a connection has acknowledged.
func acknowledged(conn *net.TCPConn) (bytes uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes = info.Bytes_acked
		}
	})
	return bytes
}

// echo counts what has come back.
func echo(l *load) (outcome, error) {
	conns, err := l.dialAll(portEcho)
	if err != nil {
		return outcome{}, err
	}
	var total received
	for _, c := range conns {
		go total.read(c)
		go write(c, 64<<10)
	}
	n, o, err := l.window(total.Load)
	o.Bytes = n
	return o, err
}
