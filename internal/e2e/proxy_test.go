package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// backendKinds are the two kinds of address a proxy leads to.
var backendKinds = []string{"TCP", "UNIX"}

// proxied starts a backend of a kind and a daemon that leads port 8080 to it.
func proxied(t *testing.T, kind string, handle func(net.Conn), more ...string) *namespace {
	t.Helper()
	ns := newNamespace(t, "a proxy to a backend over "+kind)
	network, at := "tcp", "127.0.0.1:0"
	if kind == "UNIX" {
		network, at = "unix", filepath.Join(newDir(t), "backend.sock")
	}
	to := backend(t, ns, network, at, handle).Addr().String()
	if kind == "UNIX" {
		to = "unix:" + to
	}
	start(t, ns, settings{services: []string{proxyService("app", 8080, to, more...)}})
	return ns
}

// TestProxyEnds: an end of a stream on one side is the same end on the other (attacks.md N6).
func TestProxyEnds(t *testing.T) {
	ends := []struct {
		name string
		test func(*testing.T, string)
	}{
		{"client ends first", testClientEndsFirst},
		{"backend ends first", testBackendEndsFirst},
		{"backend resets", testBackendResets},
		{"client resets", testClientResets},
	}
	for _, kind := range backendKinds {
		for _, end := range ends {
			t.Run(kind+" "+end.name, func(t *testing.T) { end.test(t, kind) })
		}
	}
}

func testClientEndsFirst(t *testing.T, kind string) {
	ns := proxied(t, kind, func(conn net.Conn) {
		question, err := io.ReadAll(conn)
		fmt.Fprintf(conn, "to %q (%v)", question, err)
	})
	for _, family := range families {
		conn := ns.connect(t, address(family.host, 8080))
		conn.Write([]byte("question"))
		conn.CloseWrite()
		answer, err := io.ReadAll(conn)
		if want := `to "question" (<nil>)`; err != nil || string(answer) != want {
			t.Errorf("%s: got %q (%v), want %q and the end", family.name, answer, err, want)
		}
	}
}

func testBackendEndsFirst(t *testing.T, kind string) {
	heard := make(chan string, 1)
	ns := proxied(t, kind, func(conn net.Conn) {
		conn.Write([]byte("greeting"))
		conn.(interface{ CloseWrite() error }).CloseWrite()
		text, err := io.ReadAll(conn)
		heard <- fmt.Sprintf("%q (%v)", text, err)
	})
	for _, family := range families {
		conn := ns.connect(t, address(family.host, 8080))
		if text, err := io.ReadAll(conn); err != nil || string(text) != "greeting" {
			t.Errorf("%s: got %q (%v), want the greeting and the end", family.name, text, err)
		}
		conn.Write([]byte("late words"))
		conn.Close()
		if got, want := next(t, heard, "what the backend heard"), `"late words" (<nil>)`; got != want {
			t.Errorf("%s: after its own end the backend heard %s, want %s", family.name, got, want)
		}
	}
}

// testBackendResets: an answer cut short must not look complete. The backend closes with part of the question unread, which
// is how a UNIX socket resets.
func testBackendResets(t *testing.T, kind string) {
	ns := proxied(t, kind, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 4))
		conn.Write([]byte("half an ans"))
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	})
	for _, family := range families {
		conn := ns.connect(t, address(family.host, 8080))
		conn.Write([]byte("question that is not read to its end"))
		text, err := io.ReadAll(conn)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %q (%v), want connection reset", family.name, text, err)
		}
	}
}

// testClientResets: the backend must learn that the client did not end well; over UNIX sockets, which have no reset, that it
// is gone.
func testClientResets(t *testing.T, kind string) {
	heard := make(chan error, 1)
	ns := proxied(t, kind, func(conn net.Conn) {
		conn.Write([]byte("greeting"))
		_, err := io.ReadAll(conn)
		heard <- err
	})
	for _, family := range families {
		conn := ns.connect(t, address(family.host, 8080))
		io.ReadFull(conn, make([]byte, len("greeting")))
		conn.Write([]byte("half a quest"))
		conn.SetLinger(0)
		conn.Close()
		err := next(t, heard, "the client's reset at the backend")
		if kind == "TCP" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client's reset reached the backend as %v, want connection reset", family.name, err)
		}
	}
}

// TestProxyClosedBackend: a client of a backend that is not there is refused, not accepted and then dropped.
func TestProxyClosedBackend(t *testing.T) {
	ns := newNamespace(t, "proxies to backends that are not there")
	start(t, ns, settings{services: []string{
		proxyService("tcp", 8081, "127.0.0.1:1"),
		proxyService("unix", 8082, "unix:"+filepath.Join(newDir(t), "no.sock")),
	}})
	for _, family := range families {
		for _, port := range []int{8081, 8082} {
			if _, err := ns.dial(address(family.host, port)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s port %d: %v, want connection refused", family.name, port, err)
			}
		}
	}
}

// TestProxySilentBackend: while the backend has not answered, the client's connection is not established either; when it
// answers at last, it is.
func TestProxySilentBackend(t *testing.T) {
	ns := newNamespace(t, "a proxy to a backend that answers late")
	l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { conn.Write([]byte("here")) })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	start(t, ns, settings{services: []string{proxyService("app", 8080, l.Addr().String())}})
	ns.run(t, "nft", fmt.Sprintf(`table inet silence {
	chain in { type filter hook input priority 0; iifname lo tcp dport %s drop; }
}`, port))
	connected := make(chan error, 1)
	go func() {
		conn, err := ns.dial("10.77.0.2:8080")
		if err == nil {
			defer conn.Close()
			var text []byte
			if text, err = io.ReadAll(conn); err == nil && string(text) != "here" {
				err = fmt.Errorf("the backend's answer came as %q", text)
			}
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		t.Fatalf("the client's connect ended (%v) while the backend was silent", err)
	case <-time.After(2 * time.Second):
	}
	ns.run(t, "nft", "delete", "table", "inet", "silence")
	if err := next(t, connected, "the client's connection"); err != nil {
		t.Errorf("when the backend answers at last: %v", err)
	}
}

// TestProxyProtocol: the backend learns the client's address from the header of PROXY protocol version 1 or 2.
func TestProxyProtocol(t *testing.T) {
	readers := map[string]func(*bufio.Reader) (string, error){"v1": readProxyV1, "v2": readProxyV2}
	for version, read := range readers {
		for _, kind := range backendKinds {
			t.Run(version+" over "+kind, func(t *testing.T) {
				ns := proxied(t, kind, func(conn net.Conn) {
					r := bufio.NewReader(conn)
					header, err := read(r)
					data, _ := io.ReadAll(r)
					fmt.Fprintf(conn, "%s %s %v", header, data, err)
				}, "proxy_protocol: "+version)
				for _, family := range families {
					conn := ns.connect(t, address(family.host, 8080))
					conn.Write([]byte("data"))
					conn.CloseWrite()
					want := fmt.Sprintf("%v %v data <nil>", conn.LocalAddr(), conn.RemoteAddr())
					if got, err := io.ReadAll(conn); err != nil || string(got) != want {
						t.Errorf("%s: the backend saw %q (%v), want %q", family.name, got, err, want)
					}
				}
			})
		}
	}
}

// readProxyV1 returns source and destination of a version 1 header: PROXY TCP4 192.0.2.1 192.0.2.2 1024 80.
func readProxyV1(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	var family, src, dst string
	var srcPort, dstPort int
	if _, err := fmt.Sscanf(line, "PROXY %s %s %s %d %d\r\n", &family, &src, &dst, &srcPort, &dstPort); err != nil {
		return "", fmt.Errorf("header %q: %w", line, err)
	}
	if strings.Contains(src, ":") != (family == "TCP6") {
		return "", fmt.Errorf("header %q: family and address do not agree", line)
	}
	return address(src, srcPort) + " " + address(dst, dstPort), nil
}

// readProxyV2 returns source and destination of a version 2 header: signature, version and command, family, length, addresses.
func readProxyV2(r *bufio.Reader) (string, error) {
	header := make([]byte, 16)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", err
	}
	sizes := map[byte]int{0x11: 4, 0x21: 16} // TCP over IPv4, TCP over IPv6
	size, known := sizes[header[13]]
	if string(header[:12]) != "\r\n\r\n\x00\r\nQUIT\n" || header[12] != 0x21 || !known {
		return "", fmt.Errorf("not the header of a proxied TCP connection: % x", header)
	}
	rest := make([]byte, binary.BigEndian.Uint16(header[14:]))
	if _, err := io.ReadFull(r, rest); err != nil || len(rest) < 2*size+4 {
		return "", fmt.Errorf("%d bytes of addresses, want %d (%v)", len(rest), 2*size+4, err)
	}
	src, _ := netip.AddrFromSlice(rest[:size])
	dst, _ := netip.AddrFromSlice(rest[size : 2*size])
	ports := rest[2*size:]
	return netip.AddrPortFrom(src, binary.BigEndian.Uint16(ports)).String() + " " +
		netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ports[2:])).String(), nil
}

// TestStaticFiles: files are served, and nothing outside of the directory is.
func TestStaticFiles(t *testing.T) {
	ns := newNamespace(t, "files over HTTP")
	root := newDir(t)
	for path, text := range map[string]string{"page.txt": "a page", "../tcpd-e2e-secret": "a secret"} {
		file := filepath.Join(root, path)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
	}
	start(t, ns, settings{services: []string{
		fmt.Sprintf(`{name: files, listen: ":80", http: {root: %q}}`, root),
		`{name: fixed, listen: ":81", http: {body: "a fixed answer"}}`,
	}})
	curl := func(path string) string {
		return ns.run(t, "curl", "--silent", "--max-time", "20", "--path-as-is", "http://10.77.0.2"+path)
	}
	if got := curl("/page.txt"); got != "a page" {
		t.Errorf("GET /page.txt: %q, want the file's text", got)
	}
	if got := curl(":81/"); got != "a fixed answer" {
		t.Errorf("GET / of a service with a fixed body: %q", got)
	}
	for _, path := range []string{"/../tcpd-e2e-secret", "/%2e%2e/tcpd-e2e-secret", "/..%2ftcpd-e2e-secret", "/x/../../tcpd-e2e-secret"} {
		if got := curl(path); strings.Contains(got, "a secret") {
			t.Errorf("GET %s left the directory: %q", path, got)
		}
	}
}
