package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// get sends a request by hand, so that no client tidies the path, and returns the answer with its body.
func get(t *testing.T, l net.Listener, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, l, "GET", path, header...)
}

func ask(t *testing.T, l net.Listener, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	conn := connect(t, l)
	defer func() { _ = conn.Close() }()
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: test", "Connection: close"}, header...)
	say(t, conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, path, err)
	}
	return r, string(body)
}

// telling is a listener whose connections describe themselves.
type telling struct{ net.Listener }

type told struct{ net.Conn }

func (told) Describe() [][2]string {
	return [][2]string{{"state", "ESTABLISHED"}, {"congestion window", "14480 bytes"}, {"peer", "<b>&"}}
}

func (l telling) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return told{conn}, err
}

func TestWelcomeIsTextForCurl(t *testing.T) {
	for _, address := range families {
		s, l := &HTTP{}, listen(t, "tcp", address)
		start(t, s, telling{l})
		r, body := get(t, l, "/", "Accept: */*")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Fatalf("got %s, %s; want text", r.Status, r.Header.Get("Content-Type"))
		}
		want := "  state              ESTABLISHED\n  congestion window  14480 bytes\n  peer               <b>&\n"
		if !strings.Contains(body, want) {
			t.Fatalf("want aligned columns\n%s\nin\n%s", want, body)
		}
		wantEnded(t, s, Finished)
	}
}

func TestWelcomeIsAPageForBrowsers(t *testing.T) {
	s, l := &HTTP{}, listen(t, "tcp", families[0])
	start(t, s, telling{l})
	r, body := get(t, l, "/", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	if r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.Header.Get("Vary") != "Accept" {
		t.Fatalf("got %v, want HTML that varies by Accept", r.Header)
	}
	if !strings.Contains(body, "<td>14480 bytes</td>") || !strings.Contains(body, "&lt;b&gt;&amp;") {
		t.Fatalf("want the facts, escaped, in\n%s", body)
	}
	style := body[strings.Index(body, "<style>")+len("<style>") : strings.Index(body, "</style>")]
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "'sha256-"+hash64(style)+"'") || !strings.Contains(policy, "default-src 'none'") {
		t.Fatalf("the policy must allow exactly the page's style: %s", policy)
	}
	for _, outside := range []string{"http:", "https:", "src=", "url(", "@import", "<script"} {
		if strings.Contains(body, outside) {
			t.Errorf("a self-contained page has no %q", outside)
		}
	}
}

func TestWelcomeOnAConnectionThatTellsNothing(t *testing.T) {
	s, l := &HTTP{}, listen(t, "tcp", families[0])
	start(t, s, l)
	if _, body := get(t, l, "/"); !strings.Contains(body, l.Addr().String()) {
		t.Fatalf("want at least the addresses in\n%s", body)
	}
}

func TestAccept(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/plain": false, "text/html": true, "TEXT/HTML;q=0.5": true, "text/html;q=0": false,
		"text/html;q=0.000": false, "image/png, application/xhtml+xml": true, "text/htmlx": false, ";;;,,=": false,
	} {
		if got := wantsHTML([]string{accept}); got != want {
			t.Errorf("Accept: %s: HTML %v, want %v", accept, got, want)
		}
	}
}

func TestBody(t *testing.T) {
	s, l := &HTTP{Body: "hello\n"}, listen(t, "tcp", families[0])
	start(t, s, l)
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, "hello\n"}, {"GET", "/?q", 200, "hello\n"}, {"HEAD", "/", 200, ""},
		{"GET", "/other", 404, "404 page not found\n"}, {"POST", "/", 405, "Method Not Allowed\n"},
	} {
		r, body := ask(t, l, c.method, c.path)
		if r.StatusCode != c.status || body != c.body || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s %s: got %s %q, want %d %q as text", c.method, c.path, r.Status, body, c.status, c.body)
		}
	}
}

// makeTree fills a directory and what lies around it; it returns the directory.
func makeTree(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "www")
	for name, text := range map[string]string{
		"secret": "secret", "www/a.txt": "0123456789", "www/sub/index.html": "<p>index", "www/empty/x": "x",
	} {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"out": "../secret", "abs": filepath.Join(top, "secret"), "up": "..", "in": "a.txt", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFilesStayInTheirDirectory(t *testing.T) {
	s, l := &HTTP{Root: makeTree(t)}, listen(t, "tcp", families[0])
	start(t, s, l)
	for path, want := range map[string]string{
		"/a.txt": "0123456789", "/in": "0123456789", "/sub/": "<p>index", "/empty/x": "x", "/sub/../a.txt": "0123456789",
	} {
		if r, body := get(t, l, path); r.StatusCode != 200 || body != want {
			t.Errorf("%s: got %s %q, want %q", path, r.Status, body, want)
		}
	}
	for _, path := range []string{
		"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/../../secret", "/sub/%2e%2e/%2e%2e/secret", "/out", "/abs",
		"/up/secret", "/..\\secret", "/%00", "/a.txt%00", "//etc/passwd", "/loop", "/fifo", "/", "/empty/", "/none", "/a.txt/x",
	} {
		r, body := get(t, l, path)
		if r.StatusCode != 404 && r.StatusCode != 400 || strings.Contains(body, "secret") {
			t.Errorf("%s: got %s %q, want 404", path, r.Status, body)
		}
	}
}

func TestFilesAnswerRangesAndMethods(t *testing.T) {
	s, l := &HTTP{Root: makeTree(t)}, listen(t, "tcp", families[0])
	start(t, s, l)
	if r, body := get(t, l, "/a.txt", "Range: bytes=2-4"); r.StatusCode != 206 || body != "234" {
		t.Errorf("range: got %s %q", r.Status, body)
	}
	if r, _ := ask(t, l, "DELETE", "/a.txt"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("DELETE: got %s", r.Status)
	}
	if r, body := ask(t, l, "HEAD", "/a.txt"); r.StatusCode != 200 || r.ContentLength != 10 || body != "" {
		t.Errorf("HEAD: got %s, %d", r.Status, r.ContentLength)
	}
	if r, _ := get(t, l, "/", "X: "+strings.Repeat("x", 64<<10)); r.StatusCode != 431 {
		t.Errorf("huge header: got %s, want 431", r.Status)
	}
}

func TestALargeFileIsByteExact(t *testing.T) {
	dir := t.TempDir()
	want := make([]byte, 5<<20+123)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(want)
	if err := os.WriteFile(filepath.Join(dir, "big"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	s, l := &HTTP{Root: dir}, listen(t, "tcp", families[1])
	start(t, s, l)
	if r, body := get(t, l, "/big"); r.ContentLength != int64(len(want)) || body != string(want) {
		t.Fatalf("got %d bytes, want the %d of the file", len(body), len(want))
	}
}

func TestHTTPSettingsAreChecked(t *testing.T) {
	for _, h := range []*HTTP{{Root: "x", Body: "y"}, {Root: filepath.Join(t.TempDir(), "none")}} {
		l := newScripted()
		if err := h.Serve(t.Context(), l); err == nil || !l.once.Load() {
			t.Errorf("%+v: got %v, listener closed %v; want an error", h, err, l.once.Load())
		}
	}
}

// startHandler serves handler as HTTP would serve its own.
func startHandler(t *testing.T, h *HTTP, handler http.Handler) net.Listener {
	t.Helper()
	l := listen(t, "tcp", families[0])
	server := h.server(handler)
	go func() {
		_ = server.Serve(&visitListener{Listener: l, ctx: t.Context(), acceptor: acceptor{h.Log, &h.Counters}})
	}()
	t.Cleanup(func() { _ = server.Close() })
	return l
}

func TestACutAnswerEndsInRST(t *testing.T) {
	for want, handler := range map[Reason]http.HandlerFunc{
		AnswerCut: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
		},
		Panicked: func(http.ResponseWriter, *http.Request) { panic("oh") },
	} {
		h := &HTTP{}
		conn := connect(t, startHandler(t, h, handler))
		say(t, conn, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		wantReset(t, conn, fmt.Sprint(want, ": a cut answer must not end in FIN"))
		wantEnded(t, h, want)
	}
}

func TestTheEndOfServeClosesIdleConnectionsAndFinishesRequests(t *testing.T) {
	const length = 64 << 20 // more than the sockets' buffers hold
	dir, l := t.TempDir(), listen(t, "tcp", families[0])
	for name, size := range map[string]int64{"small": 4, "big": length} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	cancel, served := serveFiles(t, dir, l)
	idle, _ := request(t, l, "small")
	_, busy := request(t, l, "big")
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, idle); err != nil {
		t.Fatalf("the idle connection: %v, want FIN", err)
	}
	if n, err := io.Copy(io.Discard, busy.Body); n != length || err != nil {
		t.Fatalf("the request under way was answered with %d bytes, %v; want all %d", n, err, length)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("nothing may be accepted any more")
	}
}

// A listener that is closed has a successor: who kept his connection gets one answer more, also to a request that has come already.
func TestAClosedListenerCutsNoRequest(t *testing.T) {
	dir, l := t.TempDir(), listen(t, "tcp", families[0])
	if err := os.WriteFile(filepath.Join(dir, "small"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	cancel, served := serveFiles(t, dir, l)
	last, answer := request(t, l, "small")
	idle, other := request(t, l, "small")
	for _, r := range []*http.Response{answer, other} {
		if text, err := io.ReadAll(r.Body); string(text) != "text" || err != nil {
			t.Fatalf("the first answer is %q, %v", text, err)
		}
	}
	_ = l.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	say(t, last, "GET /small HTTP/1.1\r\nHost: test\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(last), nil)
	if err != nil || r.StatusCode != 200 || !r.Close {
		t.Fatalf("after the listener was closed: got %+v, %v; want an answer that is the last", r, err)
	}
	if text, err := io.ReadAll(r.Body); string(text) != "text" || err != nil {
		t.Fatalf("the last answer is %q, %v", text, err)
	}
	cancel()
	wantEOF(t, idle, "idle connections end when the service is to end")
}

// serveFiles serves the files of a directory until cancel is called, or the listener closed.
func serveFiles(t *testing.T, dir string, l net.Listener) (cancel context.CancelFunc, served <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- (&HTTP{Root: dir}).Serve(ctx, l) }()
	return cancel, ended
}

// request asks for a file on a connection that is kept, and returns it with the head of the answer.
func request(t *testing.T, l net.Listener, name string) (net.Conn, *http.Response) {
	t.Helper()
	conn := connect(t, l)
	say(t, conn, "GET /"+name+" HTTP/1.1\r\nHost: test\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || r.StatusCode != 200 || r.Close {
		t.Fatalf("%s: got %+v, %v; want it on a connection that is kept", name, r, err)
	}
	return conn, r
}

// TestClientThatDoesNotRead: he costs a descriptor, a goroutine and a buffer, for a bounded time; who reads slowly gets all of it.
func TestClientThatDoesNotRead(t *testing.T) {
	dir := t.TempDir()
	const size = 1 << 20
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, slow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := newLinePipe()
			l := newScripted(far)
			h := &HTTP{Root: dir}
			ended := make(chan error, 1)
			go func() { ended <- h.Serve(t.Context(), l) }()
			go io.WriteString(near, "GET /big HTTP/1.0\r\n\r\n")
			n := 0
			for b := make([]byte, 8<<10); slow; time.Sleep(3 * time.Second) {
				k, err := near.Read(b)
				if n += k; err != nil {
					break
				}
			}
			time.Sleep(10 * time.Minute)
			s := h.Snapshot()
			if want := map[bool]Reason{false: ClientTimeout, true: Finished}[slow]; s.Active != 0 || s.Ended[want] != 1 || slow && n < size {
				t.Errorf("slow %v: %d bytes read, %d active, ended %v", slow, n, s.Active, s.Ended)
			}
			_ = near.Close()
			_ = l.Close()
			<-ended
		})
	}
}

// TestDirectoriesHaveNoList: net/http lists a directory whose index it cannot open.
func TestDirectoriesHaveNoList(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("index"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := tree{root}.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, lists := f.(fs.ReadDirFile); lists {
		t.Error("a directory that is served can be listed")
	}
	if err := os.Remove(filepath.Join(dir, "index.html")); err != nil {
		t.Fatal(err)
	}
	if _, err := (tree{root}).Open("."); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without an index: %v", err)
	}
}
