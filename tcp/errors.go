package tcp

import (
	"errors"
	"slices"
)

// Why a connection ended, or a call failed.
var (
	ErrReset       = errors.New("connection reset by peer")
	ErrTimeout     = errors.New("connection timed out")
	ErrRefused     = errors.New("connection refused")
	ErrUnreachable = errors.New("destination unreachable")
	ErrAborted     = errors.New("connection aborted")
	ErrClosed      = errors.New("write after close")
	ErrInUse       = errors.New("address already in use")
	ErrLimit       = errors.New("too many connections")
	ErrMemory      = errors.New("memory budget exhausted")
	ErrPorts       = errors.New("no free local port")
	ErrAddress     = errors.New("not the address of a single host")
)

// failure is the number under which a connection's record keeps why it ended; 0: it did not fail.
type failure uint8

var failures = [...]error{nil, ErrReset, ErrTimeout, ErrRefused, ErrUnreachable, ErrAborted, ErrMemory}

func failureOf(err error) failure { return failure(slices.Index(failures[:], err)) }
