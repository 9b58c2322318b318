package stack

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerFD is a timer of the kernel's. A goroutine waits for it in the network poller, and makes the calls. Its methods may be
// called by one goroutine at a time.
type timerFD struct {
	file *os.File
	fd   int // of file; negative: closed
}

func newFineTimer(f func()) (fineTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &timerFD{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}
	go t.wait(f)
	return t, nil
}

// wait ends when the descriptor is closed.
func (t *timerFD) wait(f func()) {
	var expirations [8]byte
	for {
		if _, err := t.file.Read(expirations[:]); err != nil {
			return
		}
		f()
	}
}

// set arms the timer, 0 disarms it. It reports whether it was armed.
func (t *timerFD) set(d time.Duration) bool {
	if t.fd < 0 {
		return false
	}
	var before unix.ItimerSpec
	after := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	_ = unix.TimerfdSettime(t.fd, 0, &after, &before) // fails for numbers that are none only
	return before.Value.Nano() != 0
}

func (t *timerFD) Stop() bool { return t.set(0) }

func (t *timerFD) Reset(d time.Duration) bool { return t.set(max(d, 1)) }

func (t *timerFD) close() {
	t.fd = -1
	_ = t.file.Close()
}
