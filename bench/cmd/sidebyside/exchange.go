package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// exchange sends a byte and waits for it to come back, again and again, in blocking calls of a thread of its own: Go's scheduler
// has no part in what it measures.
func exchange(l *load) (o outcome, err error) {
	runtime.LockOSThread()
	conn, err := l.dial(portEcho)
	if err != nil {
		return o, err
	}
	file, err := conn.File()
	if err != nil {
		return o, err
	}
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return o, err
	}
	took := make([]time.Duration, 0, 1<<20)
	start := time.Now()
	for warm := true; ; {
		sent := time.Now()
		if warm && sent.Sub(start) > l.warm {
			warm, start = false, sent
		}
		if !warm && sent.Sub(start) > l.time {
			break
		}
		if err := exchangeByte(fd); err != nil {
			return o, err
		}
		if !warm {
			took = append(took, time.Since(sent))
		}
	}
	runtime.KeepAlive(file)
	if len(took) == 0 {
		return o, fmt.Errorf("no exchange was completed in %v", l.time)
	}
	slices.Sort(took)
	o.Seconds, o.Operations = time.Since(start).Seconds(), uint64(len(took))
	o.P50, o.P99 = took[len(took)/2], took[len(took)*99/100]
	return o, nil
}

func exchangeByte(fd int) error {
	b := [1]byte{'x'}
	if _, err := unix.Write(fd, b[:]); err != nil {
		return err
	}
	n, err := unix.Read(fd, b[:])
	if err == nil && n == 0 {
		err = fmt.Errorf("the server closed the connection")
	}
	return err
}
