package link

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of a busy emulator go past Go's scheduler, which could otherwise give the thread's processor away and make it wait
// for another one on a loaded machine. They block for a short time or, the descriptors being non-blocking, not at all.

// readNow reads a packet; false: there is none.
func readNow(fd int, b []byte) (n int, ok bool) {
	size, _, err := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(size), err == 0 && size > 0
}

// writeNow writes a packet; false: the kernel did not take it.
func writeNow(fd int, b []byte) bool {
	_, _, err := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return err == 0
}

// sleepLongest bounds a sleep past the scheduler: it holds up whoever stops the world.
const sleepLongest = 2 * time.Millisecond

// sleep waits for a packet or for the end of wait, nil for ever.
func sleep(poll []unix.PollFd, wait *unix.Timespec) {
	if wait == nil {
		unix.Ppoll(poll, nil, nil)
		return
	}
	unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll[0])), uintptr(len(poll)), uintptr(unsafe.Pointer(wait)), 0, 0, 0)
}
