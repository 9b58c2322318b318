package service

import (
	"fmt"
	"math"
	"net"
	"sync"
	"syscall"
)

// spareDescriptors stay free when backends take all others: the operator still gets at the control socket and the metrics.
const spareDescriptors = 16

// mostDescriptor is the highest number that a backend's socket may have.
var mostDescriptor = sync.OnceValue(func() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	all := int(min(limit.Cur, math.MaxInt32))
	return all - 1 - min(spareDescriptors, all/4)
})

// keepSpare closes a socket that has just been opened if it took one of the last descriptors. The kernel gives the lowest number that
// is free, so the number says how many are in use.
func keepSpare(conn net.Conn) (net.Conn, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return conn, nil
	}
	raw, err := c.SyscallConn()
	number := 0
	if err == nil {
		err = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	if err != nil || number <= mostDescriptor() {
		return conn, nil // one that is closed already says so when it is used
	}
	reset(conn)
	return nil, fmt.Errorf("the last %d are for the daemon itself: %w", spareDescriptors, syscall.EMFILE)
}
