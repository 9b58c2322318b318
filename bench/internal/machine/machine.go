// Package machine says whose processor time a measurement has used, and what machine its numbers belong to.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is processor time that was used until a moment.
type Usage struct {
	at     time.Time
	busy   time.Duration // of all processors, the kernel's interrupts included
	all    time.Duration // of all processes
	ours   time.Duration // of this process and the ones that were named
	unused time.Duration
}

// tick is USER_HZ, the unit of /proc.
const tick = 10 * time.Millisecond

// Measure reads what all processes used and what this one and those with the given numbers did. The kernel's work for
// packets, in interrupts, belongs to no process.
func Measure(pids ...int) (u Usage, err error) {
	u.at = time.Now()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u, err
	}
	var interrupts time.Duration
	for _, part := range []struct {
		sum      *time.Duration
		first, n int
	}{{&u.all, 1, 3}, {&u.unused, 4, 2}, {&interrupts, 6, 2}} { // user, nice, system; idle, iowait; irq, softirq
		if *part.sum, err = sumTicks(string(stat), part.first, part.n); err != nil {
			return u, fmt.Errorf("/proc/stat: %w", err)
		}
	}
	u.busy = u.all + interrupts
	var self unix.Rusage
	if err = unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return u, err
	}
	u.ours = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	for _, pid := range pids {
		used, err := ofProcess(pid)
		if err != nil {
			return u, err
		}
		u.ours += used
	}
	return u, nil
}

// ofProcess returns what a process has used.
func ofProcess(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("a process of the measurement has ended: %w", err)
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	used, err := sumTicks(afterName, 11, 2) // utime, stime
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return used, nil
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

// Others returns how many processors other processes used since an earlier moment. ended is what processes of ours used that
// began and ended between the two.
func (u Usage) Others(since Usage, ended time.Duration) float64 {
	return max((u.all-since.all-(u.ours-since.ours)-ended).Seconds()/u.at.Sub(since.at).Seconds(), 0)
}

// Idle returns how many processors nobody used since an earlier moment.
func (u Usage) Idle(since Usage) float64 {
	return (u.unused - since.unused).Seconds() / u.at.Sub(since.at).Seconds()
}

// Busy returns the time that all processors together were busy since an earlier moment.
func (u Usage) Busy(since Usage) time.Duration { return u.busy - since.busy }

// Name says what numbers belong to: processor, kernel, Go.
func Name() string {
	processor := "an unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				processor = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "of an unknown version"
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel, _, _ = strings.Cut(strings.TrimSpace(string(release)), "-") // what a distribution adds says nothing here
	}
	return fmt.Sprintf("%d cores of %s, Linux %s, %s", runtime.NumCPU(), processor, kernel, runtime.Version())
}
