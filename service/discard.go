package service

import (
	"context"
	"net"
)

// Discard throws away what it receives (RFC 863).
type Discard struct {
	Log Log
	Counters
}

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on.
func (d *Discard) Serve(ctx context.Context, l net.Listener) error {
	if events, ok := l.(eventListener); ok {
		return serveEvents(ctx, events, d.Log, &d.Counters, discardTurn, discard)
	}
	return serve(ctx, l, d.Log, &d.Counters, discard)
}

func discard(conn net.Conn) Reason {
	return receive(conn, func([]byte) error { return nil })
}
