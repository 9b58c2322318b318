package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newControlSetup starts a daemon with a control socket.
func newControlSetup(t *testing.T, text string) (s *setup, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control.sock")
	s = newSetup(t, text+fmt.Sprintf("\ncontrol: {socket: %s}\n", socket))
	server, err := s.d.openControl()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.close)
	server.start(s.d.log)
	return s, socket
}

// run executes a command line.
func runLine(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

func TestReloadCommand(t *testing.T) {
	s, socket := newControlSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	control := fmt.Sprintf("control: {socket: %s}\n", socket)

	s.write("services:\n" + serviceLine("echo", 8, "echo: {}") + "tun: {mtu: 9000}\n" + control)
	code, stdout, stderr := runLine("reload", "--config", s.file)
	want := "reloaded:\n  service echo on :7 accepts no more\n  service echo on :8 is new\nchanged, but needs a restart: tun.mtu\n"
	if code != exitOK || stdout != want || stderr != "" {
		t.Errorf("reload exits %d and prints\n%s%s\nwant\n%s", code, stdout, stderr, want)
	}

	s.write("servics: []\n" + control)
	code, stdout, stderr = runLine("reload", "--socket", socket)
	if code != exitConfig || stdout != "" || !strings.Contains(stderr, `tcpd.yaml:1:1: unknown key "servics"`) || !strings.Contains(stderr, "^^^^^^^") {
		t.Errorf("reload of a broken file exits %d and prints\n%s%s", code, stdout, stderr)
	}

	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte(control), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = runLine("reload", "--config", other)
	if want := fmt.Sprintf("tcpd: this daemon reads %s, and not %s: nothing is changed\n", s.file, other); code != exitFailed || stderr != want {
		t.Errorf("reload with another file exits %d and prints\n%s%s\nwant\n%s", code, stdout, stderr, want)
	}

	taken, err := s.d.stack.Listen("tcp", ":9")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.write("services:\n" + serviceLine("late", 9, "echo: {}") + control)
	code, _, stderr = runLine("reload", "--socket", socket)
	if code != exitFailed || !strings.Contains(stderr, `service "late" cannot listen on :9`) {
		t.Errorf("reload with a port that is taken exits %d and prints\n%s", code, stderr)
	}
}

// TestClientsTakeTheSocketOnly: whatever else is wrong with the file, the daemon is reached, and judges the file itself.
func TestClientsTakeTheSocketOnly(t *testing.T) {
	s, socket := newControlSetup(t, "services: []")
	control := fmt.Sprintf("control: {socket: %s}\n", socket)
	for text, mistake := range map[string]string{
		control + "tunn: {}\n":                        `unknown key "tunn"`,
		"tun:\n\tname: x\n" + control:                 "a tab where the indentation belongs",
		control + "addresses: []\n":                   "there is not one address", // they come as flags, say
		"control:\n  socket: '" + socket + "'\n- {\n": "this is not YAML",
	} {
		s.write(text)
		if code, stdout, stderr := runLine("status", "--config", s.file); code != exitOK || !strings.Contains(stdout, ": ready") {
			t.Errorf("with\n%sstatus exits %d and prints\n%s%s", text, code, stdout, stderr)
		}
		if code, _, stderr := runLine("reload", "--config", s.file); code != exitConfig || !strings.Contains(stderr, mistake) {
			t.Errorf("with\n%sreload exits %d and prints\n%s", text, code, stderr)
		}
	}
}

func TestStatusCommand(t *testing.T) {
	s, socket := newControlSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	wantEcho(t, s.mustDial("10.77.0.2:7"), "hi")
	code, stdout, stderr := runLine("status", "--socket", socket)
	if code != exitOK || stderr != "" {
		t.Fatalf("status exits %d: %s", code, stderr)
	}
	for _, part := range []string{
		": ready", "device memory: up, MTU 1500, 1 queue", "addresses 10.77.0.2, fd77::2", "connections 1,",
		"echo     :7      echo  1       1         0",
	} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the status does not contain %q:\n%s", part, stdout)
		}
	}
	code, stdout, _ = runLine("status", "--socket", socket, "--json")
	var got status
	if err := json.Unmarshal([]byte(stdout), &got); code != exitOK || err != nil || !got.Ready || got.Connections != 1 {
		t.Errorf("status --json exits %d: %v\n%s", code, err, stdout)
	}
}

// A status tells why the daemon is not ready, and what the last reload said.
func TestStatusTellsOfTrouble(t *testing.T) {
	s := newSetup(t, "services: []")
	if _, err := s.reload("nonsense: 1"); err == nil {
		t.Fatal("the reload should fail")
	}
	s.d.drain(t.Context())
	var out bytes.Buffer
	s.d.status().print(&out)
	for _, part := range []string{"NOT READY: stopping", "the last reload", `unknown key "nonsense"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the status does not contain %q:\n%s", part, &out)
		}
	}
}

// unixClient speaks HTTP over a UNIX socket.
// TestClient_daemonThatDoesNotAnswer: one that is stopped takes connections and says nothing.
func TestClient_daemonThatDoesNotAnswer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = client{socket: socket}.open(t.Context(), http.MethodGet, "/v1/status", nil, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "it does not answer (is it stopped, or very busy?)") {
		t.Error(err)
	}
}

func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
	}}
}

// Attack class D07: what does not belong on the socket is refused.
func TestControlRefuses(t *testing.T) {
	_, socket := newControlSetup(t, "services: []")
	for _, test := range []struct {
		method, path string
		body         io.Reader
		code         int
	}{
		{"GET", "/v1/status", nil, 200},
		{"GET", "/v1/reload", nil, 405},
		{"POST", "/v1/status", nil, 405},
		{"GET", "/", nil, 404},
		{"GET", "/v2/status", nil, 404},
		{"POST", "/v1/status", strings.NewReader(strings.Repeat("x", 1<<20)), 405},
		{"GET", "/v1/" + strings.Repeat("x", 1<<16), nil, 431},
	} {
		request, err := http.NewRequest(test.method, "http://tcpd"+test.path, test.body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := unixClient(socket).Do(request)
		if errors.Is(err, syscall.EPIPE) {
			continue // hung up on while it was still sending
		}
		if err != nil {
			t.Errorf("%s %.20s: %v", test.method, test.path, err)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != test.code {
			t.Errorf("%s %.20s gives %d, want %d", test.method, test.path, response.StatusCode, test.code)
		}
	}
}

// Only root and the daemon's own user may ask.
func TestControlPeers(t *testing.T) {
	for _, test := range []struct {
		uid  uint32
		euid int
		ok   bool
	}{{0, 1000, true}, {1000, 1000, true}, {0, 0, true}, {1000, 0, false}, {1001, 1000, false}} {
		if err := permitted(&unix.Ucred{Uid: test.uid}, test.euid); (err == nil) != test.ok {
			t.Errorf("for a tcpd of user %d, user %d gets %v", test.euid, test.uid, err)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if allowed(a) == nil {
		t.Error("a peer that nobody knows should not be allowed")
	}
}

// A socket that was asked for is needed; the default one is not.
func TestControlSocketThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, fmt.Sprintf("services: []\ncontrol: {socket: %s/control.sock}\n", file))
	if _, err := s.d.openControl(); err == nil || !strings.Contains(err.Error(), "control.socket") {
		t.Errorf("with a chosen path that cannot be: %v, want an error", err)
	}
	s.d.cfg.Control.Chosen = false
	server, err := s.d.openControl()
	if err != nil || server != nil || !strings.Contains(s.log.String(), "without a control socket") {
		t.Errorf("with the default path that cannot be: %v, %v; want a warning\n%s", server, err, s.log)
	}
	server.close()
}
