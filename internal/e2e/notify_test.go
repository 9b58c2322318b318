package e2e

import (
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// notifySocket stands in for systemd's end of sd_notify(3).
type notifySocket struct {
	path  string
	ready chan struct{} // closed by the first READY=1

	mu    sync.Mutex
	lines []string
}

func newNotifySocket(t *testing.T, path string) *notifySocket {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n := &notifySocket{path: path, ready: make(chan struct{})}
	go n.receive(conn)
	return n
}

func (n *notifySocket) receive(conn *net.UnixConn) {
	buf := make([]byte, 4096)
	isReady := sync.OnceFunc(func() { close(n.ready) })
	for {
		size, err := conn.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		for line := range strings.Lines(string(buf[:size])) {
			n.lines = append(n.lines, strings.TrimSpace(line))
		}
		n.mu.Unlock()
		if n.count("READY=1") > 0 {
			isReady()
		}
	}
}

// count returns how often the daemon sent an assignment.
func (n *notifySocket) count(assignment string) (times int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.lines {
		if line == assignment {
			times++
		}
	}
	return times
}
