package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tcpd/config"
	"tcpd/tun"
)

func TestImpairCommand(t *testing.T) {
	s, socket := newControlSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}")+serviceLine("discard", 9, "discard: {}"))
	impair := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := runLine(append([]string{"impair", "--socket", socket}, args...)...)
		if code != exitOK || stderr != "" {
			t.Fatalf("impair %v exits %d: %s", args, code, stderr)
		}
		return stdout
	}
	if out := impair(); !strings.HasPrefix(out, "the link is not impaired\n") {
		t.Errorf("at first impair prints\n%s", out)
	}
	if out := impair("--loss", "100%", "--port", "9"); !strings.HasPrefix(out, "the link is impaired: {loss: 100%, port: 9}\n") {
		t.Errorf("impair prints\n%s", out)
	}
	wantEcho(t, s.mustDial("10.77.0.2:7"), "not lost")
	lost := make(chan error, 1)
	go func() {
		c, err := s.dial("10.77.0.2:9")
		if err == nil {
			c.Close()
		}
		lost <- err
	}()
	for s.d.link.Fates(tun.In)[tun.FateLost] == 0 {
		time.Sleep(time.Millisecond)
	}
	if out := impair("off"); !strings.HasPrefix(out, "the link is not impaired\n") || strings.Contains(out, "in   passed 0") {
		t.Errorf("impair off prints\n%s", out)
	}
	if err := <-lost; err != nil {
		t.Errorf("the SYN that is sent again after the loss has ended: %v", err)
	}
}

func TestImpairCommandRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{
		{"impair", "--loss", "5"}, {"impair", "--jitter", "5ms"}, {"impair", "on"}, {"impair", "off", "--loss", "1%"}, {"impair", "--rate", "fast"},
	} {
		if code, _, stderr := runLine(args...); code != exitUsage || stderr == "" {
			t.Errorf("%v exits %d and prints %q, want %d and why", args, code, stderr, exitUsage)
		}
	}
}

func TestImpairOverTheSocketIsChecked(t *testing.T) {
	_, socket := newControlSetup(t, "services: []")
	var s impairStatus
	err := client{socket: socket}.send(http.MethodPut, "/v1/impair", strings.NewReader("{loss: 5, sped: 1}"), &s)
	if err == nil || !strings.Contains(err.Error(), "no percentage") || !strings.Contains(err.Error(), `unknown key "sped"`) {
		t.Errorf("got %v, want both mistakes", err)
	}
}

func TestReloadChangesImpair(t *testing.T) {
	s := newSetup(t, "services: []")
	result, err := s.reload("services: []\nimpair: {loss: 2%}")
	if err != nil || len(result.Changed) != 1 || result.Changed[0] != "impair" {
		t.Errorf("the reload changed %v (%v), want impair", result.Changed, err)
	}
	if got := s.d.link.Impairment().Loss; got != 0.02 {
		t.Errorf("the loss is %v, want 0.02", got)
	}
}

// With a link over UDP the daemon serves without device and privilege.
func TestDaemonOverUDP(t *testing.T) {
	load := func(text string) *config.Config {
		c, err := config.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, err := openLink(load("link: {udp: {listen: '127.0.0.1:0', any: true}}"), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	startDaemon(t, load("services:\n"+serviceLine("echo", 7, "echo: {}")), first, newLogger(os.Stderr, "error", "json", false))
	at := first.(*tun.UDP).LocalAddr().String()
	second, err := openLink(load("link: 'udp:127.0.0.1:0,"+at+"'"), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	other := startDaemon(t, load("addresses: [10.77.0.3/24, 'fd77::3/64']\nservices: []"), second, newLogger(os.Stderr, "error", "json", false))
	for _, address := range []string{"10.77.0.2:7", "[fd77::2]:7"} {
		c, err := other.stack.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		wantEcho(t, c, "through a tunnel")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLinkExcludesADevice(t *testing.T) {
	_, err := config.Parse("test", []byte("tun: {name: tcp1}\nlink: 'udp:127.0.0.1:1,127.0.0.1:2'"))
	var problems config.Errors
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "not both") {
		t.Errorf("got %v, want that there can be one only", err)
	}
}
