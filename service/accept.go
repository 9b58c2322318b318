package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"syscall"
	"time"
)

// Delays between attempts to accept after an error that will pass, such as too many open files.
const (
	firstDelay = 5 * time.Millisecond
	lastDelay  = time.Second
)

// acceptor takes connections, or attempts at one, from a listener.
type acceptor struct {
	log      Log
	counters *Counters
}

// run hands each item that next returns to handle, in a goroutine of its own, until l or ctx is closed. It closes l.
func run[T any](ctx context.Context, a acceptor, l net.Listener, next func() (T, error), handle func(T)) error {
	defer func() { _ = l.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		item, err := persist(ctx, a, next)
		if err != nil {
			return ending(ctx, l, err)
		}
		go handle(item)
	}
}

// persist calls next until it succeeds or fails for good. In between it waits, longer each time.
func persist[T any](ctx context.Context, a acceptor, next func() (T, error)) (T, error) {
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		item, err := next()
		if err == nil || !temporary(err) {
			return item, err
		}
		a.counters.acceptErrors.Add(1)
		if delay == firstDelay {
			a.log.warn("accept: %v; trying again until it passes", err)
		}
		if !pause(ctx, delay) {
			return item, ctx.Err()
		}
	}
}

// ending turns the error that ended an accept loop into the result of Serve.
func ending(ctx context.Context, l net.Listener, err error) error {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("accept on %v: %w", l.Addr(), err)
}

// temporary reports whether accepting may succeed later without anybody doing anything to the listener.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED)
}

// pause waits for d and reports whether ctx is still open.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve runs handle on each connection of l. handle says how the connection ended; the connection is then closed, or
// reset if it did not end in order.
func serve(ctx context.Context, l net.Listener, log Log, c *Counters, handle func(net.Conn) Reason) error {
	a := acceptor{log, c}
	return run(ctx, a, l, l.Accept, func(conn net.Conn) {
		c.begin()
		reason := guard(log, func() Reason { return handle(conn) })
		if reason == Finished {
			_ = conn.Close()
		} else {
			reset(conn)
		}
		c.end(reason)
	})
}

// guard runs handle and survives its panic, which costs the one connection.
func guard(log Log, handle func() Reason) (reason Reason) {
	defer func() {
		if p := recover(); p != nil {
			log.fail("panic, connection reset: %v\n%s", p, debug.Stack())
			reason = Panicked
		}
	}()
	return handle()
}
