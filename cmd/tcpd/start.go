package main

import (
	"errors"
	"os"
	"syscall"
	"time"

	"tcpd/tun"
)

// errStopped says that a signal ended the start.
var errStopped = errors.New("stopped by a signal")

// openPatience is how long a start that is to end may take to end in order.
const openPatience = 500 * time.Millisecond

// unlessStopped opens a link, which may take seconds (a host of an Ethernet asks whether its addresses are free), until a signal to
// end. An opening that does not return by itself soon ends with the process, and so does the device that it made.
func unlessStopped(signals chan os.Signal, open func() (tun.Carrier, error)) (tun.Carrier, error) {
	type result struct {
		carrier tun.Carrier
		err     error
	}
	opened := make(chan result, 1)
	go func() {
		l, err := open()
		opened <- result{l, err}
	}()
	reload := false // when the start is over
	for {
		select {
		case r := <-opened:
			if reload {
				putBack(signals, syscall.SIGHUP)
			}
			return r.carrier, r.err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				reload = true
				continue
			}
		}
		select {
		case r := <-opened:
			if r.err == nil {
				_ = r.carrier.Close()
			}
		case <-time.After(openPatience):
		}
		return nil, errStopped
	}
}

// stopRequested reports whether a signal to end waits in signals. One to reload stays there.
func stopRequested(signals chan os.Signal) bool {
	for range len(signals) {
		if sig := <-signals; sig != syscall.SIGHUP {
			return true
		}
		putBack(signals, syscall.SIGHUP)
	}
	return false
}

// putBack leaves a signal for later. When there is no room, others are waiting, and one of them will do.
func putBack(signals chan os.Signal, sig os.Signal) {
	select {
	case signals <- sig:
	default:
	}
}
