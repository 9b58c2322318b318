package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tcpd/config"
)

// A reload opens, closes and changes services, and a connection that runs does not notice.
func TestReloadServices(t *testing.T) {
	for _, a := range ownAddresses {
		t.Run(a.String(), func(t *testing.T) {
			s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}")+serviceLine("web", 80, "http: {body: old}"))
			running := s.mustDial(at(a, 7))
			wantEcho(t, running, "before")
			if got := s.get(at(a, 80)); got != "old" {
				t.Fatalf("the page is %q, want old", got)
			}

			result, err := s.reload("services:\n" + serviceLine("web", 80, "http: {body: new}") + serviceLine("more", 81, "http: {body: more}"))
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"service echo on :7 accepts no more", "service web on :80 has new settings", "service more on :81 is new"}
			if !slices.Equal(result.Changed, want) {
				t.Errorf("changed is %q, want %q", result.Changed, want)
			}
			if got := s.get(at(a, 80)); got != "new" {
				t.Errorf("the page is %q, want new", got)
			}
			if got := s.get(at(a, 81)); got != "more" {
				t.Errorf("the page on the new port is %q, want more", got)
			}
			wantEcho(t, running, "after the service is gone")
			if _, err := s.dial(at(a, 7)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a dial of the port that is gone gives %v, want connection refused", err)
			}
		})
	}
}

// While the settings of a service change again and again, every client is served.
func TestReloadClosesNoPort(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("web", 80, "http: {body: x0}"))
	s.reloadWhile(func(address string, stop <-chan struct{}) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := s.get(address); !strings.HasPrefix(got, "x") {
				t.Errorf("during a reload the page is %q", got)
			}
		}
	})
}

// While the settings of a service change again and again, no request is cut on a connection that is kept from one to the next.
func TestReloadCutsNoRequest(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("web", 80, "http: {body: x0}"))
	s.reloadWhile(func(address string, stop <-chan struct{}) {
		if err := s.keepAsking(address, stop); err != nil {
			t.Errorf("during a reload: %v", err)
		}
	})
}

// reloadWhile changes the page of a service fifty times while four clients of both families do something.
func (s *setup) reloadWhile(ask func(address string, stop <-chan struct{})) {
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		clients.Go(func() { ask(at(ownAddresses[i%2], 80), stop) })
	}
	for i := range 50 {
		if _, err := s.reload("services:\n" + serviceLine("web", 80, fmt.Sprintf("http: {body: x%d}", i+1))); err != nil {
			s.t.Error(err)
		}
	}
	close(stop)
	clients.Wait()
}

// keepAsking asks for / again and again, on a new connection only after an answer that said it is the last.
func (s *setup) keepAsking(address string, stop <-chan struct{}) error {
	for {
		conn, err := s.dial(address)
		if err != nil {
			return err
		}
		in := bufio.NewReader(conn)
		for last := false; !last; {
			select {
			case <-stop:
				return conn.Close()
			default:
			}
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
				return err
			}
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			last = r.Close
		}
		_ = conn.Close()
	}
}

// A broken file changes nothing, and every error of it is logged.
func TestReloadBrokenFile(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	_, err := s.reload("tun: {mtuu: 1}\nservices: []\nlog: {level: loud}\n")
	var problems config.Errors
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("got %v, want two problems", err)
	}
	for _, part := range []string{"tcpd.yaml:1:7", "mtuu", "tcpd.yaml:3:14", "the old one stays"} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("the log does not mention %q:\n%s", part, s.log)
		}
	}
	wantEcho(t, s.mustDial("10.77.0.2:7"), "still here")
	if got := s.d.status().Reloads; got.Failed != 1 || got.Error == "" {
		t.Errorf("the status tells of reloads %+v, want one that failed", got)
	}
}

// A port that cannot be opened keeps the whole reload from happening.
func TestReloadIsAllOrNothing(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	other, err := s.d.stack.Listen("tcp", ":81")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = s.reload("services:\n" + serviceLine("new", 80, "echo: {}") + serviceLine("taken", 81, "echo: {}"))
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), `"taken"`) {
		t.Errorf("got %v, want that the address of service taken is in use", err)
	}
	wantEcho(t, s.mustDial("10.77.0.2:7"), "still here")
	if _, err := s.dial("10.77.0.2:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dial of the port that was opened for nothing gives %v, want connection refused", err)
	}
}

// Keys of the device and addresses wait for a restart; the rest of the file counts.
func TestReloadRestartKeys(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	const moved = "tun: {mtu: 9000}\naddresses: [10.9.0.2/24]\nservices:\n"
	result, err := s.reload(moved + serviceLine("echo", 8, "echo: {}"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"tun.mtu", "tun.host", "addresses"}; !slices.Equal(result.Restart, want) {
		t.Errorf("these need a restart: %q, want %q", result.Restart, want)
	}
	wantEcho(t, s.mustDial("10.77.0.2:8"), "on the old address")
	_, err = s.reload(moved + "- {name: echo, listen: '10.9.0.2:8', echo: {}}\n")
	if err == nil || !strings.Contains(err.Error(), "with a restart only") {
		t.Errorf("a service on an address that is not ours yet gives %v", err)
	}
}

// Defaults of TCP, limits and the log's level change for what comes, without a port being closed.
func TestReloadDefaults(t *testing.T) {
	const services = "services:\n- {name: web, listen: ':80', http: {}}\n"
	s := newSetup(t, services)
	if page := s.get("10.77.0.2:80"); !strings.Contains(page, "cubic") {
		t.Fatalf("a connection does not use cubic:\n%s", page)
	}
	result, err := s.reload(services + "tcp: {congestion: reno, receive_buffer: 64KiB}\nlimits: {memory: 64MiB}\nlog: {level: error}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"limits", "defaults of tcp, for new connections", "log level error"}
	if !slices.Equal(result.Changed, want) {
		t.Errorf("changed is %q, want %q", result.Changed, want)
	}
	if got := s.d.stack.Stats().MemoryLimit; got != 64<<20 {
		t.Errorf("the memory limit is %d, want 64 MiB", got)
	}
	if s.d.log.level.String() != "error" {
		t.Errorf("the log's level is %v, want error", s.d.log.level)
	}
	if page := s.get("10.77.0.2:80"); !strings.Contains(page, "reno") {
		t.Errorf("a new connection does not use reno:\n%s", page)
	}
}

// A service's own options come and go with a reload, and its port stays open.
func TestReloadServiceTCP(t *testing.T) {
	const web = "services:\n- {name: web, listen: ':80', http: {}"
	s := newSetup(t, web+", tcp: {congestion: bbr}}\n")
	for _, step := range []struct{ config, want string }{
		{"", "bbr"}, {web + ", tcp: {congestion: reno}}\n", "reno"}, {web + "}\n", "cubic"}, {web + "}\ntcp: {congestion: bbr}\n", "bbr"},
	} {
		if step.config != "" {
			if _, err := s.reload(step.config); err != nil {
				t.Fatal(err)
			}
		}
		if page := s.get("10.77.0.2:80"); !strings.Contains(page, step.want) {
			t.Errorf("after %q a connection does not use %s:\n%s", step.config, step.want, page)
		}
	}
}

// Nothing is reloaded once the daemon stops.
func TestReloadWhileStopping(t *testing.T) {
	s := newSetup(t, "services: []")
	s.d.drain(t.Context())
	if _, err := s.d.reload(); !errors.Is(err, errStopping) {
		t.Errorf("got %v", err)
	}
}

// TestServiceThatFailed: its port closes, and everybody who asks is told; a reload that names it begins anew.
func TestServiceThatFailed(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	broken := s.d.config().Services[0]
	broken.Name, broken.Kind, broken.Listen = "web", "http", netip.AddrPortFrom(netip.Addr{}, 80)
	broken.HTTP.Root = "/nonexistent" // as if it had gone since the configuration was checked
	if err := s.d.services.apply(append(s.d.config().Services, broken)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service is not served", func() bool { return len(s.d.services.serving()) == 1 })
	if _, err := s.dial("10.77.0.2:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("its port is not closed: %v", err)
	}
	if err := s.d.ready(); err == nil || !strings.Contains(err.Error(), `service "web" has failed: http: root: `) {
		t.Errorf("the daemon is ready, or not because of %v; want that service web has failed", err)
	}
	s.wantStatus("web      :80     http FAILED  0", "service web has failed, and its port is closed: http: root: ", "NOT READY: service \"web\"")
	s.wantMetrics(`tcpd_service_up{service="echo"} 1`, `tcpd_service_up{service="web"} 0`, "tcpd_ready 0")
	if _, err := s.reload("services:\n" + serviceLine("echo", 7, "echo: {}") + serviceLine("web", 80, "http: {body: page}")); err != nil {
		t.Fatal(err)
	}
	if got := s.get("10.77.0.2:80"); got != "page" {
		t.Errorf("after the reload the page is %q", got)
	}
	s.wantMetrics(`tcpd_service_up{service="web"} 1`, "tcpd_ready 1")
	if _, err := s.reload("services:\n" + serviceLine("echo", 7, "echo: {}")); err != nil || s.d.ready() != nil {
		t.Errorf("without the service: %v, %v", err, s.d.ready())
	}
}

// TestServiceThatCannotReopen: a port that was closed for a listener of another sort, and is another's now, is a service that failed.
func TestServiceThatCannotReopen(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("web", 80, "http: {}"))
	list := slices.Clone(s.d.config().Services)
	list[0].Kind = "proxy"
	s.d.services.listen = func(config.Service) (net.Listener, error) { return nil, syscall.EADDRINUSE }
	if err := s.d.services.apply(list); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if err := s.d.ready(); err == nil || !strings.Contains(err.Error(), `service "web" has failed`) {
		t.Errorf("the daemon is ready, or not because of %v", err)
	}
}

// wantStatus checks that the status, as people read it, has every one of parts.
func (s *setup) wantStatus(parts ...string) {
	s.t.Helper()
	var out strings.Builder
	s.d.status().print(&out)
	for _, part := range parts {
		if !strings.Contains(out.String(), part) {
			s.t.Errorf("the status does not contain %q:\n%s", part, &out)
		}
	}
}

// wantMetrics checks that the metrics have every one of samples.
func (s *setup) wantMetrics(samples ...string) {
	s.t.Helper()
	var e exposition
	s.d.expose(&e)
	for _, sample := range samples {
		if !strings.Contains(e.b.String(), sample+"\n") {
			s.t.Errorf("the metrics do not contain %s", sample)
		}
	}
}
