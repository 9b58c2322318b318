package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is processor time that was used until a moment.
type usage struct {
	at        time.Time
	all, ours time.Duration
}

// tick is USER_HZ, the unit of /proc.
const tick = 10 * time.Millisecond

// measureUsage reads what all processes used and what this one and tcpd did. The kernel's work for packets, in interrupts,
// belongs to no process and is in neither.
func measureUsage(tcpd int) (u usage, err error) {
	u.at = time.Now()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u, err
	}
	if u.all, err = sumTicks(string(stat), 1, 3); err != nil { // user, nice, system
		return u, fmt.Errorf("/proc/stat: %w", err)
	}
	path := fmt.Sprintf("/proc/%d/stat", tcpd)
	if stat, err = os.ReadFile(path); err != nil {
		return u, fmt.Errorf("tcpd has ended: %w", err)
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	if u.ours, err = sumTicks(afterName, 11, 2); err != nil { // utime, stime
		return u, fmt.Errorf("%s: %w", path, err)
	}
	var self unix.Rusage
	if err = unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return u, err
	}
	u.ours += time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return u, nil
}

// sumTicks adds n fields of a line.
func sumTicks(line string, first, n int) (sum time.Duration, err error) {
	fields := strings.Fields(line)
	if len(fields) < first+n {
		return 0, fmt.Errorf("only %d fields", len(fields))
	}
	for _, f := range fields[first : first+n] {
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(v) * tick
	}
	return sum, nil
}

// others returns how many processors other processes used since an earlier moment.
func (u usage) others(since usage) float64 {
	return max((u.all-since.all-(u.ours-since.ours)).Seconds()/u.at.Sub(since.at).Seconds(), 0)
}
