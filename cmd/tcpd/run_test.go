package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcpd/config"
)

// life runs the daemon's loop, and returns where to send signals and where its result comes.
func (s *setup) life() (signals chan os.Signal, result chan error) {
	signals, result = make(chan os.Signal, 4), make(chan error, 1)
	go func() { result <- s.d.wait(signals) }()
	return signals, result
}

// dialUntil connects again and again until the result is the wanted one.
func (s *setup) dialUntil(address string, want error) {
	s.t.Helper()
	for range 100_000 {
		conn, err := s.dial(address)
		if conn != nil {
			_ = conn.Close()
		}
		if errors.Is(err, want) {
			return
		}
	}
	s.t.Fatalf("dialling %s never gives %v", address, want)
}

func wantResult(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon goes on")
		return nil
	}
}

// SIGTERM without connections ends at once, however long draining may take.
func TestStopIdle(t *testing.T) {
	s := newSetup(t, "services: []\nshutdown: {drain: 1h}\n")
	signals, result := s.life()
	signals <- syscall.SIGTERM
	if err := wantResult(t, result); err != nil {
		t.Errorf("SIGTERM gives %v", err)
	}
}

// After SIGTERM no connection is accepted, those that run go on, and when the last one has ended so does the daemon.
func TestStopDrains(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}")+"shutdown: {drain: 1h}\n")
	conn := s.mustDial("10.77.0.2:7")
	wantEcho(t, conn, "before")
	signals, result := s.life()
	signals <- syscall.SIGTERM
	s.dialUntil("10.77.0.2:7", syscall.ECONNREFUSED)
	wantEcho(t, conn, "while draining")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wantResult(t, result); err != nil {
		t.Errorf("SIGTERM gives %v", err)
	}
}

// Connections that do not finish in time, or not before the second signal, are reset: a stream that was cut must not look
// complete.
func TestStopResets(t *testing.T) {
	for name, test := range map[string]struct {
		drain   string
		signals []os.Signal
	}{
		"no time":       {"0s", []os.Signal{syscall.SIGTERM}},
		"some time":     {"50ms", []os.Signal{syscall.SIGINT}},
		"second signal": {"1h", []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}")+"shutdown: {drain: "+test.drain+"}\n")
			conn := s.mustDial("10.77.0.2:7")
			wantEcho(t, conn, "before")
			signals, result := s.life()
			for _, sig := range test.signals {
				signals <- sig
			}
			if err := wantResult(t, result); err != nil {
				t.Errorf("the end is %v, want none", err)
			}
			if said := strings.Contains(s.log.String(), errStopping.Error()); said != slices.Contains(test.signals, os.Signal(syscall.SIGHUP)) {
				t.Errorf("the log says that SIGHUP came too late: %v\n%s", said, s.log)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client reads %v, want connection reset", err)
			}
		})
	}
}

// SIGHUP reloads, and the daemon goes on.
func TestHangupReloads(t *testing.T) {
	s := newSetup(t, "services: []")
	signals, result := s.life()
	s.write("services:\n" + serviceLine("echo", 7, "echo: {}"))
	signals <- syscall.SIGHUP
	s.dialUntil("[fd77::2]:7", nil)
	conn := s.mustDial("[fd77::2]:7")
	wantEcho(t, conn, "reloaded")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGTERM
	if err := wantResult(t, result); err != nil {
		t.Error(err)
	}
}

// A port of the host that another program has ends the start before a service says that it serves.
func TestTakenPortEndsTheStart(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := newSetup(t, fmt.Sprintf("services: []\nmetrics: {listen: '%v'}\n", other.Addr()))
	s.d.cfg.Services = config.Default().Services
	err = s.d.serve(make(chan os.Signal, 4), nil)
	if !errors.Is(err, syscall.EADDRINUSE) || strings.Contains(s.log.String(), "serving") {
		t.Errorf("got %v, want that the port is in use, and nothing served\n%s", err, s.log)
	}
}

// A link that is gone ends the daemon with the reason.
func TestLinkGone(t *testing.T) {
	s := newSetup(t, "services: []")
	_, result := s.life()
	_ = s.d.link.Close()
	err := wantResult(t, result)
	if err == nil || failed(err).(failure).code != exitFailed || !strings.Contains(err.Error(), "link") {
		t.Errorf("got %v, want an error about the link", err)
	}
}

func TestGreeting(t *testing.T) {
	for services, want := range map[string]string{
		serviceLine("web", 80, "http: {}"):                    "memory: 10.77.0.2, fd77::2 serve web :80\nTry in another terminal: curl http://10.77.0.2/   Ctrl-C ends.\n",
		"- {name: web, listen: '[fd77::2]:8080', http: {}}\n": "memory: 10.77.0.2, fd77::2 serve web [fd77::2]:8080\nTry in another terminal: curl 'http://[fd77::2]:8080/'   Ctrl-C ends.\n",
		serviceLine("echo", 7, "echo: {}"):                    "memory: 10.77.0.2, fd77::2 serve echo :7\nTry in another terminal: ping 10.77.0.2   Ctrl-C ends.\n",
	} {
		s := newSetup(t, "services:\n"+services)
		var out bytes.Buffer
		s.d.greet(&out)
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	}
}

// A panic in a goroutine of the daemon's own is logged like any other reason to end.
func TestCrashIsLogged(t *testing.T) {
	var out output
	code := -1
	func() {
		defer crash(newLogger(&out, "info", "json", false), func(c int) { code = c })
		panic("impossible")
	}()
	if code != exitFailed || !strings.Contains(out.String(), "impossible") || !strings.Contains(out.String(), "run_test.go") {
		t.Errorf("the exit code is %d, the log\n%s", code, &out)
	}
}

// So is one of a handler of the control socket and the metrics, which net/http would swallow.
func TestCrashOfAHandler(t *testing.T) {
	var out output
	code := -1
	h := crashing(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("impossible") }),
		newLogger(&out, "info", "json", false), func(c int) { code = c })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if code != exitFailed || !strings.Contains(out.String(), "impossible") {
		t.Errorf("the exit code is %d, the log\n%s", code, &out)
	}
}

// The lower address of a /31 or /127 is one host, and not what the stack takes a prefix without host bits for.
func TestHosts(t *testing.T) {
	s := newSetup(t, "addresses: [192.0.2.6/31]\nservices:\n"+serviceLine("echo", 7, "echo: {}"))
	wantEcho(t, s.mustDial("192.0.2.6:7"), "hi")
}
