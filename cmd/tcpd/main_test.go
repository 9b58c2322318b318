package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tcpd/config"
	"tcpd/stack"
	"tcpd/tun"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wantGolden compares got with a golden file.
func wantGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; with -update it is rewritten\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// output is what a log is written to and read from in tests.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *output) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *output) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// setup is a daemon on a link in memory, a client at the other end, and the daemon's configuration file.
type setup struct {
	t      *testing.T
	d      *daemon
	client *stack.Stack
	file   string
	log    *output
}

// newSetup starts a daemon on a configuration. Without a word about the control socket there is none.
func newSetup(t *testing.T, text string) *setup {
	t.Helper()
	s := &setup{t: t, file: filepath.Join(t.TempDir(), "tcpd.yaml"), log: &output{}}
	s.write(text)
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	near, far := tun.NewMemory(c.Tun.MTU, 1, 1024)
	s.d = startDaemon(t, c, near, newLogger(s.log, "debug", "json", false))
	s.d.load, s.d.file = func() (*config.Config, error) { return config.Load(s.file) }, s.file
	s.client, err = stack.New(stack.Config{Link: far, Addresses: c.Tun.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// startDaemon starts a daemon with its services, until the test ends.
func startDaemon(t *testing.T, c *config.Config, carrier tun.Carrier, log *logger) *daemon {
	t.Helper()
	d, err := newDaemon(c, carrier, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	if err := d.services.apply(c.Services); err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *setup) write(text string) {
	s.t.Helper()
	if !strings.Contains(text, "control:") {
		text += "\ncontrol: {socket: ''}\n"
	}
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// reload writes another configuration and reloads it.
func (s *setup) reload(text string) (reloadResult, error) {
	s.t.Helper()
	s.write(text)
	return s.d.reload()
}

// dial connects to a port of the daemon.
func (s *setup) dial(address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s.client.DialContext(ctx, "tcp", address)
}

func (s *setup) mustDial(address string) net.Conn {
	s.t.Helper()
	conn, err := s.dial(address)
	if err != nil {
		s.t.Fatalf("dial %s: %v", address, err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wantEcho checks that what is written comes back.
func wantEcho(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("the echo of %q is %q, %v", text, got, err)
	}
}

// get asks for / on a new connection and returns the answer's body.
func (s *setup) get(address string) string {
	s.t.Helper()
	conn := s.mustDial(address)
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.0 200 ") {
		s.t.Errorf("the answer begins with %q, want 200", head)
	}
	return body
}

// service returns a line of the list of services.
func serviceLine(name string, port int, kind string) string {
	return fmt.Sprintf("- {name: %s, listen: ':%d', %s}\n", name, port, kind)
}

// both families reach the daemon at these addresses.
var ownAddresses = []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")}

func at(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}
