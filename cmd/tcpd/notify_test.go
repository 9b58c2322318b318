package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// listenNotify stands in for the service manager. receive returns the next datagram.
func listenNotify(t *testing.T, name string) (receive func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() string {
		t.Helper()
		b := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("the service manager heard nothing: %v", err)
		}
		return string(b[:n])
	}
}

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@tcpd-test-" + strconv.Itoa(os.Getpid())} {
		receive := listenNotify(t, name)
		n, err := newNotifier(name)
		if err != nil {
			t.Fatal(err)
		}
		n.ready("serving")
		if got := receive(); got != "READY=1\nSTATUS=serving" {
			t.Errorf("got %q", got)
		}
		n.reloading()
		if got := receive(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+$`).MatchString(got) {
			t.Errorf("got %q", got)
		}
		n.stopping("bye", 40*time.Second)
		if got := receive(); got != "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\nSTATUS=bye" {
			t.Errorf("got %q", got)
		}
	}
}

// Without a service manager there is nobody to tell, and that is no error.
func TestNotifyNobody(t *testing.T) {
	n, err := newNotifier("")
	if err != nil {
		t.Fatal(err)
	}
	n.ready("x")
	if _, err := newNotifier(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a socket that is not there should be an error")
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"30000000", "", 30 * time.Second}, {"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second},
		{"30000000", "1", 0}, {"many", "", 0}, {"-1", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", test.pid)
		if got := watchdogInterval(); got != test.want {
			t.Errorf("with WATCHDOG_USEC=%s and WATCHDOG_PID=%s the interval is %v, want %v", test.usec, test.pid, got, test.want)
		}
	}
}

// The watchdog is fed by what the data loops do: with the stack ended it starves.
func TestWatchdogNeedsALivingStack(t *testing.T) {
	s := newSetup(t, "services: []")
	name := filepath.Join(t.TempDir(), "notify")
	receive := listenNotify(t, name)
	n, err := newNotifier(name)
	if err != nil {
		t.Fatal(err)
	}
	s.d.notify = n
	go s.d.feedWatchdog(t.Context(), time.Hour)
	if got := receive(); got != "WATCHDOG=1" {
		t.Errorf("got %q", got)
	}
	s.d.close()
	s.d.pulse.at = time.Time{}
	if err := s.d.alive(); err == nil {
		t.Error("a stack that has ended counts as alive")
	}
}
