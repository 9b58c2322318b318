package service

import (
	"context"
	"errors"
	"io"
	"net"
)

// Echo sends back what it receives (RFC 862).
type Echo struct {
	Log Log
	Counters
}

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on.
func (e *Echo) Serve(ctx context.Context, l net.Listener) error {
	if events, ok := l.(eventListener); ok {
		return serveEvents(ctx, events, e.Log, &e.Counters, echoTurn, echo)
	}
	return serve(ctx, l, e.Log, &e.Counters, echo)
}

// echo returns Finished once the client has sent FIN and everything is echoed.
func echo(conn net.Conn) Reason {
	return receive(conn, func(b []byte) error {
		_, err := conn.Write(b)
		return err
	})
}

// receive hands what arrives on conn to take until the client's FIN. take borrows the bytes during the call.
func receive(conn net.Conn, take func([]byte) error) Reason {
	in := inbox{conn: conn}
	defer in.release()
	for {
		b, err := in.read()
		if len(b) > 0 {
			if failed := take(b); failed != nil {
				return clientFailures.of(failed)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return Finished
		case err != nil:
			return clientFailures.of(err)
		}
	}
}
