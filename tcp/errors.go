package tcp

import "errors"

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
)
