package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager about the daemon's state, as sd_notify(3) does. A nil one tells nobody.
type notifier struct{ conn *net.UnixConn }

// newNotifier connects to the socket that the service manager named, nil if there is none.
func newNotifier(socket string) (*notifier, error) {
	if socket == "" {
		return nil, nil
	}
	// The net package takes a leading @ for the abstract namespace, as $NOTIFY_SOCKET does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &notifier{conn}, nil
}

// send passes assignments on, one a line.
func (n *notifier) send(state string) {
	if n != nil {
		_, _ = n.conn.Write([]byte(state)) // if nobody listens there is nobody to tell
	}
}

func (n *notifier) ready(status string) { n.send("READY=1\nSTATUS=" + status) }

// reloading has to carry the time, so that the manager can tell this reload from an earlier one.
func (n *notifier) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// afterDrain is what the end may take once connections have had their time.
const afterDrain = 5 * time.Second

// stopping asks the manager for the time that draining may take: with TimeoutStopSec alone it would kill whoever drains for longer.
func (n *notifier) stopping(status string, drain time.Duration) {
	n.send(fmt.Sprintf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d\nSTATUS=%s", (drain + afterDrain).Microseconds(), status))
}

// watchdogInterval returns how often the service manager wants to hear from this process, 0 for never.
func watchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
