package e2e

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// metricsAddress is where daemons tell their metrics, inside the namespace.
const metricsAddress = "127.0.0.1:9320"

// metrics are the samples of one scrape, by name and labels.
type metrics map[string]float64

// scrape asks the daemon for its metrics.
func (d *daemon) scrape() (metrics, error) {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return d.ns.dial(metricsAddress) }}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: hung / 2}
	answer, err := client.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	m := metrics{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if m[line[:max(at, 0)]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("metrics line %q: %w", line, err)
		}
	}
	return m, lines.Err()
}

// unaccounted returns how many more packets came in than have an end: to be delivered, to be taken in as a fragment, to be
// dropped for a reason (attacks.md N10).
func (m metrics) unaccounted() float64 {
	ends := m["tcpd_ip_packets_delivered_total"] + m["tcpd_ip_fragments_received_total"]
	for name, value := range m {
		if strings.HasPrefix(name, "tcpd_drops_total{") && !strings.Contains(name, `layer="link"`) {
			ends += value
		}
	}
	return m["tcpd_ip_packets_received_total"] + m["tcpd_ip_reassembled_total"] - ends
}

// String returns the samples that are not zero.
func (m metrics) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] != 0 {
			fmt.Fprintf(&b, "%s %v\n", name, m[name])
		}
	}
	return b.String()
}

// checkAccounts wants every packet that the daemon has received to have exactly one end.
func (d *daemon) checkAccounts(t *testing.T) {
	t.Helper()
	if !d.meters {
		return
	}
	var last metrics
	var err error
	balanced := poll(hung/2, func() bool {
		last, err = d.scrape()
		return err == nil && last["tcpd_ip_packets_received_total"] > 0 && last.unaccounted() == 0
	})
	if !balanced {
		t.Errorf("packets without an end: %v (%v) in\n%v", last.unaccounted(), err, last)
	}
}

// TestNothingLeaks makes connections end in every way and then wants everything they held back.
func TestNothingLeaks(t *testing.T) {
	ns := newNamespace(t, "leaks of connections, memory and file descriptors")
	l := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { copyTo(conn, conn) })
	d := start(t, ns, settings{services: []string{
		echoService, `{name: chargen, listen: ":19", chargen: {}}`, `{name: web, listen: ":80", http: {}}`,
		proxyService("app", 8080, l.Addr().String()), proxyService("nowhere", 8081, "127.0.0.1:1"),
	}})
	round := func() {
		for number := range 50 {
			for _, port := range []int{7, 19, 80, 8080, 8081} {
				endSomehow(ns, families[number%2].host, port, number)
			}
		}
	}
	round()
	d.wantIdle(t)
	before := d.descriptors(t)
	for range 4 {
		round()
	}
	d.wantIdle(t)
	eventually(t, hung/2, "the daemon closes its file descriptors", func() bool { return d.descriptors(t) <= before })
}

// endSomehow connects, says something, and ends the connection in one of four ways.
func endSomehow(ns *namespace, host string, port, way int) {
	conn, err := ns.dial(address(host, port))
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	switch way / 2 % 4 {
	case 0: // with what comes unread: a reset
	case 1:
		conn.SetLinger(0)
	case 2:
		conn.Read(make([]byte, 1000))
	case 3:
		conn.CloseWrite()
		conn.Read(make([]byte, 1000))
	}
}

// wantIdle waits until nothing of any connection is left but the small records of TIME-WAIT.
func (d *daemon) wantIdle(t *testing.T) {
	t.Helper()
	const record = 128 // more than one of TIME-WAIT takes
	last := metrics{}
	idle := poll(hung/2, func() bool {
		now, err := d.scrape()
		if err != nil {
			return false
		}
		last = now
		return now.held() == 0 && now[`tcpd_memory_bytes{kind="used"}`] <= record*now[`tcpd_tcp_connections{kind="time_wait"}`]
	})
	if !idle {
		t.Fatalf("after every connection has ended something is held:\n%v", last)
	}
}

// held returns the number of connections and dials that are there.
func (m metrics) held() (n float64) {
	n = m[`tcpd_tcp_connections{kind="connection"}`] + m[`tcpd_tcp_connections{kind="half_open"}`]
	for name, value := range m {
		if strings.HasPrefix(name, "tcpd_service_active{") || strings.HasPrefix(name, "tcpd_service_pending_dials{") {
			n += value
		}
	}
	return n
}

// descriptors counts the open files of the daemon's process.
func (d *daemon) descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
