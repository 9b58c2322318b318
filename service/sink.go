package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"tcpd/internal/whole"
)

// Sink stores each stream it receives as a file. A file appears under its name, whole, when the client's FIN has come; the
// service then closes its side, which tells the client so. A stream that ends any other way leaves nothing behind.
type Sink struct {
	Dir string // exists, and may be written to
	Log Log
	Counters

	serial atomic.Uint64
}

// Serve answers on l until ctx or l is closed, and closes l. Connections that run then go on.
func (s *Sink) Serve(ctx context.Context, l net.Listener) error {
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		_ = l.Close()
		return fmt.Errorf("sink: dir: %q is no directory: name one that tcpd may write to", s.Dir)
	}
	return serve(ctx, l, s.Log, &s.Counters, s.store)
}

// store receives one stream.
func (s *Sink) store(conn net.Conn) Reason {
	name := s.name(conn.RemoteAddr())
	f, err := whole.Create(filepath.Join(s.Dir, name), 0o640)
	if err != nil {
		return s.refuse(conn, err)
	}
	defer f.Discard()
	in := inbox{conn: conn}
	defer in.release()
	for {
		b, err := in.read()
		if _, failed := f.Write(b); failed != nil {
			return s.refuse(conn, failed)
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := f.Commit(); err != nil {
				return s.refuse(conn, err)
			}
			return Finished
		case err != nil:
			return clientFailures.of(err)
		}
	}
}

// refuse says why a stream cannot be kept.
func (s *Sink) refuse(conn net.Conn, err error) Reason {
	s.Log.warn("sink: a stream from %v is not kept: %v", conn.RemoteAddr(), err)
	return StoreFailed
}

// name returns a name that no other stream has, in the order of arrival.
func (s *Sink) name(client net.Addr) string {
	at := strings.NewReplacer(":", "_", "[", "", "]", "", "%", "_").Replace(client.String())
	return fmt.Sprintf("%s-%s-%d", time.Now().UTC().Format("20060102T150405.000000000Z"), at, s.serial.Add(1))
}
