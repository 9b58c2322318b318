package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tcpd/config"
)

// defaultSocket is where tcpd reload and tcpd status look, and the default of control.socket.
const defaultSocket = "/run/tcpd/control.sock"

// Limits of the control socket's clients, who are this user and root and may be broken all the same. What they ask for may take
// mostAnswer, which leaves time to write it.
const (
	controlTimeout = 10 * time.Second
	controlHeader  = 8 << 10
	writeTimeout   = time.Minute
	mostAnswer     = 50 * time.Second
)

// httpServer is a server of the daemon's own, on a listener of the kernel. A nil one is none.
type httpServer struct {
	server   *http.Server
	listener net.Listener
}

// start serves, until close.
func (s *httpServer) start(log *logger) {
	if s == nil {
		return
	}
	go func() {
		defer crash(log, os.Exit)
		_ = s.server.Serve(s.listener)
	}()
}

func (s *httpServer) close() {
	if s == nil {
		return
	}
	_ = s.server.Close()
	_ = s.listener.Close() // which for the control socket removes the file
}

func (d *daemon) newHTTPServer(l net.Listener, h http.Handler) *httpServer {
	h = crashing(h, d.log, os.Exit)
	s := &http.Server{
		Handler: http.MaxBytesHandler(h, controlHeader), ReadTimeout: controlTimeout, IdleTimeout: controlTimeout,
		WriteTimeout: writeTimeout, MaxHeaderBytes: controlHeader, ErrorLog: discardLog,
	}
	return &httpServer{s, l}
}

// crashing lets a panic of h end the daemon, as everywhere else: net/http would go on, with the locks that h held, and tell nobody.
func crashing(h http.Handler, log *logger, exit func(int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer crash(log, exit)
		h.ServeHTTP(w, r)
	})
}

// openControl opens the control socket. When nobody chose its path and the default one cannot be had, because we may not
// or because another tcpd has it, the daemon does without.
func (d *daemon) openControl() (*httpServer, error) {
	c := d.config().Control
	if c.Socket == "" {
		return nil, nil
	}
	if !c.Chosen {
		_ = os.MkdirAll(filepath.Dir(c.Socket), 0o755) // if that fails, so does what follows
	}
	l, err := listenControl(c.Socket)
	switch {
	case err != nil && c.Chosen:
		return nil, fmt.Errorf("control.socket: %w%s", err, remedy(err, "make the directory, or choose another path"))
	case err != nil:
		d.log.Warn("without a control socket, tcpd status and tcpd reload do not reach this daemon", zap.Error(err))
		return nil, nil
	}
	s := d.newHTTPServer(l, d.controlHandler())
	s.server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, allowed(conn))
	}
	return s, nil
}

// remedy says what to do about errors of two kinds, after a semicolon: a port that is in use, a directory that is not there.
func remedy(err error, text string) string {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, fs.ErrNotExist) {
		return "; " + text
	}
	return ""
}

type peerKey struct{}

// allowed returns why the peer of a control connection may not be served, nil if it may: it must be this user or root.
func allowed(conn net.Conn) error {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a UNIX socket")
	}
	cred, err := peer(local)
	if err != nil {
		return err
	}
	return permitted(cred, os.Geteuid())
}

func permitted(cred *unix.Ucred, euid int) error {
	if cred.Uid != 0 && int(cred.Uid) != euid {
		become := "become root"
		if euid != 0 {
			become += fmt.Sprintf(", or user %d", euid)
		}
		return fmt.Errorf("user %d may not control this tcpd: %s", cred.Uid, become)
	}
	return nil
}

func (d *daemon) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, d.status()) })
	mux.HandleFunc("POST /v1/reload", d.serveReload)
	mux.HandleFunc("POST /v1/dial", d.serveDial)
	mux.HandleFunc("POST /v1/ping", d.servePing)
	mux.HandleFunc("GET /v1/conns", d.serveConns)
	mux.HandleFunc("GET /v1/conns/{id}", d.serveConn)
	mux.HandleFunc("GET /v1/impair", d.serveImpair)
	mux.HandleFunc("PUT /v1/impair", d.serveImpair)
	mux.HandleFunc("GET /v1/profile", d.serveProfile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err, _ := r.Context().Value(peerKey{}).(error); err != nil {
			answer(w, http.StatusForbidden, controlError{Error: err.Error()})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// controlError is the body of an answer other than 200.
type controlError struct {
	Error  string `json:"error"`
	Config bool   `json:"config,omitempty"` // the configuration is at fault
}

func (d *daemon) serveReload(w http.ResponseWriter, r *http.Request) {
	if other := r.FormValue("config"); other != "" && !sameFile(other, d.file) {
		reads := "the built-in configuration"
		if d.file != "" {
			reads = d.file
		}
		answer(w, http.StatusConflict, controlError{Error: fmt.Sprintf("this daemon reads %s, and not %s: nothing is changed", reads, other)})
		return
	}
	result, err := d.reload()
	if err != nil {
		var problems config.Errors
		answer(w, http.StatusUnprocessableEntity, controlError{Error: err.Error(), Config: errors.As(err, &problems)})
		return
	}
	answer(w, http.StatusOK, result)
}

// absolute returns the path of a file from the root on; empty stays empty.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

// sameFile tells whether two paths name one file.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(body) // fails only when the client has gone
}
