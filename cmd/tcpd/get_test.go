package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// behind starts a daemon with a control socket, and an HTTP server on the host behind its link, at 10.77.0.1:80 (and :443
// with TLS).
func behind(t *testing.T, h http.Handler) (s *setup, socket string) {
	t.Helper()
	s, socket = newControlSetup(t, "services: []")
	for _, secure := range []bool{false, true} {
		l, err := s.client.Listen("tcp", map[bool]string{false: ":80", true: ":443"}[secure])
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(h)
		_ = server.Listener.Close()
		server.Listener = l
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
	}
	return s, socket
}

func pages(t *testing.T, large []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "hello over %s\n", r.Proto)
	})
	mux.Handle("/redirect", http.RedirectHandler("/chunked", http.StatusFound))
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range []string{"one ", "two ", "three\n"} {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("gzip is not accepted")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "unpacked\n")
		_ = z.Close()
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	return mux
}

func TestGetThroughTheDaemon(t *testing.T) {
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	_, socket := behind(t, pages(t, large))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"http://10.77.0.1/"}, exitOK, "hello over HTTP/1.1\n"},
		{[]string{"http://[fd77::1]/"}, exitOK, "hello over HTTP/1.1\n"},
		{[]string{"-k", "https://10.77.0.1/"}, exitOK, "hello over HTTP/1.1\n"},
		{[]string{"http://10.77.0.1/redirect"}, exitOK, "one two three\n"},
		{[]string{"http://10.77.0.1/gzip"}, exitOK, "unpacked\n"},
		{[]string{"http://10.77.0.1/large"}, exitOK, string(large)},
		{[]string{"http://10.77.0.1/missing"}, exitFailed, "404 page not found\n"},
		{[]string{"http://10.77.0.1/cut"}, exitFailed, "half"},
		{[]string{"https://10.77.0.1/"}, exitFailed, ""},
		{[]string{"http://10.77.0.1:81/"}, exitFailed, ""},
	} {
		code, stdout, stderr := runLine(append([]string{"get", "--socket", socket}, c.args...)...)
		if code != c.code || stdout != c.want || (code == exitOK) != (stderr == "") {
			t.Errorf("get %v exits %d with %d bytes, want %d with %d\n%s", c.args, code, len(stdout), c.code, len(c.want), stderr)
		}
	}
}

// Nothing was asked where nobody took the connection.
func TestGetShowsWhatWasAsked(t *testing.T) {
	_, socket := behind(t, pages(t, nil))
	for url, want := range map[string]bool{"http://10.77.0.1/": true, "http://10.77.0.1:81/": false} {
		_, _, stderr := runLine("get", "-v", "--socket", socket, url)
		if strings.Contains(stderr, "> GET / HTTP/1.1") != want {
			t.Errorf("get -v %s shows\n%s", url, stderr)
		}
	}
}

func TestGetWritesWholeFiles(t *testing.T) {
	_, socket := behind(t, pages(t, nil))
	file := filepath.Join(t.TempDir(), "page")
	if code, _, stderr := runLine("get", "--socket", socket, "-o", file, "http://10.77.0.1/cut"); code != exitFailed || stderr == "" {
		t.Errorf("an answer that is cut exits %d", code)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an answer that is cut leaves a file (%v)", err)
	}
	if code, _, stderr := runLine("get", "--socket", socket, "-o", file, "http://10.77.0.1/"); code != exitOK {
		t.Errorf("get -o exits %d: %s", code, stderr)
	}
	if b, err := os.ReadFile(file); string(b) != "hello over HTTP/1.1\n" {
		t.Errorf("the file holds %q (%v)", b, err)
	}
}

func TestGetVerbose(t *testing.T) {
	_, socket := behind(t, pages(t, nil))
	_, _, stderr := runLine("get", "-v", "-k", "--socket", socket, "https://10.77.0.1/")
	for _, part := range []string{
		"* connected to 10.77.0.1:443\n", "*   options: SACK, timestamps, window scale", "* TLS 1.3, ", "> GET / HTTP/1.1\n",
		"< HTTP/1.1 200 OK\n",
	} {
		if !strings.Contains(stderr, part) {
			t.Errorf("-v does not say %q:\n%s", part, stderr)
		}
	}
}

// runInput runs a command line with an input.
func runInput(t *testing.T, input io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(input)
	root.SetOut(&out)
	root.SetErr(&errs)
	cmd, err := root.ExecuteC()
	code = report(cmd, err, &errs)
	return code, out.String(), errs.String()
}

// serveOn answers connections to the host behind the link.
func serveOn(t *testing.T, s *setup, at string, serve func(net.Conn)) {
	t.Helper()
	l, err := s.client.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}

func TestNcThroughTheDaemon(t *testing.T) {
	s, socket := newControlSetup(t, "services: []")
	serveOn(t, s, ":7", func(c net.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	serveOn(t, s, ":8", func(c net.Conn) {
		_, _ = io.WriteString(c, "half of it")
		_, _ = c.Read(make([]byte, 1))
		_ = c.(interface{ SetLinger(int) error }).SetLinger(0)
		_ = c.Close()
	})
	text := strings.Repeat("all of this comes back\n", 20_000)
	for _, host := range []string{"10.77.0.1", "fd77::1"} {
		code, stdout, stderr := runInput(t, strings.NewReader(text), "nc", "--socket", socket, host, "7")
		if code != exitOK || stdout != text || stderr != "" {
			t.Errorf("nc %s exits %d with %d of %d bytes: %s", host, code, len(stdout), len(text), stderr)
		}
	}
	code, stdout, stderr := runInput(t, strings.NewReader("x"), "nc", "--socket", socket, "10.77.0.1", "8")
	if code != exitFailed || stdout != "half of it" || !strings.Contains(stderr, "reset") {
		t.Errorf("a stream that is reset exits %d with %q: %s", code, stdout, stderr)
	}
}

// A client of the control socket that goes away resets its connection: the stream was cut.
func TestDialThroughTheDaemonIsCutWithItsClient(t *testing.T) {
	s, socket := newControlSetup(t, "services: []")
	ended := make(chan error, 1)
	serveOn(t, s, ":9", func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	c, err := daemonVantage{client{socket: socket}}.DialContext(t.Context(), "tcp", "10.77.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*frameStream).Conn.Close(); err != nil { // without a FIN, as when the process is killed
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer sees %v, want a reset", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the peer never hears that the client has gone")
	}
}

func TestDialThroughTheDaemonNeedsAnUpgrade(t *testing.T) {
	_, socket := newControlSetup(t, "services: []")
	r, err := unixClient(socket).Post("http://tcpd/v1/dial?address=10.77.0.1:9", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a dial without an upgrade gets %s, want %d", r.Status, http.StatusUpgradeRequired)
	}
}

func TestPingThroughTheDaemon(t *testing.T) {
	_, socket := newControlSetup(t, "services: []")
	for _, host := range []string{"10.77.0.1", "fd77::1"} {
		code, stdout, stderr := runLine("ping", "--socket", socket, "-c", "2", "-i", "1ms", host)
		if code != exitOK || !strings.Contains(stdout, "2 sent, 2 received; round trip min") {
			t.Errorf("ping %s exits %d: %s%s", host, code, stdout, stderr)
		}
	}
	code, stdout, stderr := runLine("ping", "--socket", socket, "-c", "1", "-W", "50ms", "10.77.0.99")
	if code != exitFailed || !strings.Contains(stdout, "1 sent, 0 received") || !strings.Contains(stderr, "does not answer") {
		t.Errorf("ping of nobody exits %d: %s%s", code, stdout, stderr)
	}
}

// TestPingWaits: the daemon waits for as long as it is asked to, within what an answer of its socket may take.
func TestPingWaits(t *testing.T) {
	for asked, want := range map[string]time.Duration{"45s": 45 * time.Second, "1h": mostAnswer} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, "services: []")
			began, answer := time.Now(), httptest.NewRecorder()
			s.d.servePing(answer, httptest.NewRequest(http.MethodPost, "/v1/ping?to=10.77.0.99&size=56&timeout="+asked, nil))
			if took := time.Since(began); took != want || !strings.Contains(answer.Body.String(), `"lost": true`) {
				t.Errorf("a ping that waits for %s takes %v, want %v: %s", asked, took, want, answer.Body)
			}
			_ = s.client.Close()
			s.d.close()
		})
	}
	code, _, stderr := runLine("ping", "--socket", "/nonexistent", "-W", "51s", "10.77.0.1")
	if code != exitUsage || !strings.Contains(stderr, "-W 51s: through the daemon an answer is waited for up to 50s") {
		t.Errorf("a wait that the daemon would cut short exits %d: %s", code, stderr)
	}
}

// TestPingInterrupted: an interrupt ends the wait for an answer at once, with the summary.
func TestPingInterrupted(t *testing.T) {
	asked := make(chan string, 1)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r.FormValue("timeout")
		<-r.Context().Done()
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	var out bytes.Buffer
	p := &pinging{out: &out, wait: mostAnswer}
	ended := make(chan error, 1)
	go func() {
		v, to := daemonVantage{client{socket: l.Addr().String()}}, netip.MustParseAddr("10.77.0.1")
		ended <- errors.Join(p.once(ctx, v, to, 1), p.summary(to))
	}()
	if wait, err := time.ParseDuration(<-asked); err != nil || wait <= controlTimeout {
		t.Errorf("the daemon is asked to wait for %v, %v; want nearly %v", wait, err, mostAnswer)
	}
	interrupt()
	select {
	case <-ended:
	case <-time.After(mostAnswer / 2):
		t.Fatal("the wait goes on after the interrupt")
	}
	if out.String() != "1 sent, 0 received\n" {
		t.Errorf("it prints %q", out.String())
	}
}

// Numbers that mean nothing are a mistake of usage, before anybody is asked.
func TestPingUsage(t *testing.T) {
	for _, flags := range [][]string{{"-c", "-3"}, {"-s", "-1"}, {"-i", "-1s"}, {"-W", "0s"}} {
		code, _, stderr := runLine(append([]string{"ping", "--socket", "/nonexistent", "10.77.0.1"}, flags...)...)
		if code != exitUsage || !strings.HasPrefix(stderr, "tcpd: "+flags[0]+" "+flags[1]+": give a ") {
			t.Errorf("ping %v exits %d: %s", flags, code, stderr)
		}
	}
}
