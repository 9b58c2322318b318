//go:build unix

package stack

import (
	"time"

	"golang.org/x/sys/unix"
)

// processTime returns the time that this process has used of all processors.
func processTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // never: then nothing is ever busy
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
