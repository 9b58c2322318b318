package service

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"time"
)

// Limits of HTTP. A client gets headerTime for its request, idleTime between two, and headerBytes for a header.
const (
	headerTime  = 10 * time.Second
	idleTime    = 60 * time.Second
	headerBytes = 16 << 10
)

// HTTP answers HTTP/1.1: with the files of a directory, with a fixed text, or else with a page that tells visitors about
// their own connection.
type HTTP struct {
	// Root is the directory of the files. Nothing outside of it is served, by whatever path or symbolic link. A directory
	// is answered with its index.html; there are no listings.
	Root string
	// Body is the answer to GET /, as text/plain. At most one of Root and Body may be set.
	Body string
	Log  Log
	Counters
}

// Serve answers on l until ctx or l is closed, and closes l. When l is closed another may take its place: connections go on until
// their next answer, which says that it is the last, or until they are idle for too long. Once ctx is closed idle ones end at once.
func (h *HTTP) Serve(ctx context.Context, l net.Listener) error {
	handler, root, err := h.handler()
	if err != nil {
		_ = l.Close()
		return err
	}
	server := h.server(handler)
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close()
		// Not Shutdown: it drops the requests that are on their way. Those that nobody has read yet are dropped all the same.
		server.SetKeepAlivesEnabled(false)
	})
	visits := &visitListener{Listener: l, ctx: ctx, acceptor: acceptor{h.Log, &h.Counters}}
	err = server.Serve(visits)
	visits.retired.Store(true)
	go func() {
		visits.open.Wait()
		stop()
		if root != nil {
			_ = root.Close()
		}
	}()
	return ending(ctx, l, err)
}

func (h *HTTP) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           h.whole(handler),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          stdlog.New(logWriter{h.Log}, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, visitKey{}, conn.(*visit))
		},
	}
}

// handler returns what answers requests, and the directory that it serves, if any.
func (h *HTTP) handler() (http.Handler, *os.Root, error) {
	switch {
	case h.Root != "" && h.Body != "":
		return nil, nil, errors.New("http: root and body are both set: remove one of them")
	case h.Root != "":
		return files(h.Root)
	case h.Body != "":
		return front(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, h.Body)
		}), nil, nil
	}
	return front(welcome), nil, nil
}

// front answers requests for / with page, others with 404.
func front(page http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	return mux
}

// logWriter passes the lines of net/http's log on.
type logWriter struct{ log Log }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.warn("http: %s", trimNewline(line))
	return len(line), nil
}

func trimNewline(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		return line[:n-1]
	}
	return line
}
