package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/bench/internal/link"
	"tcpd/bench/internal/netns"
)

// sampler takes samples: one connection each, of the client kernel's TCP.
type sampler struct {
	client   *netns.Namespace
	rate     float64
	captures string // directory, "" for none
	port     uint16 // of the last connection
	tcpd     int    // its process
}

// taken is what one round of a cell gave.
type taken struct {
	samples []sample
	links   [2]link.Counts // of all its connections
}

// sample is the goodput of one connection, from its handshake on.
type sample struct {
	Seed uint64  `json:"seed"`
	Mbit float64 `json:"mbit_per_second"`
	Note string  `json:"note,omitempty"` // what went wrong
}

// The client's ports: no other socket of its namespace gets them by itself.
const firstPort, lastPort = 10_000, 60_000

// take runs the connections of a batch, all at the same time, and returns what became of each cell and what the emulator says.
func (s *sampler) take(c *contender, batch []cell, seed uint64) ([]taken, link.Report, error) {
	runtime.GC()
	if err := s.capture(c, batch[0], seed); err != nil {
		return nil, link.Report{}, err
	}
	results, ports := make([]taken, len(batch)), make([][]uint16, len(batch))
	var conns []net.Conn
	var mu sync.Mutex // guards conns
	var all sync.WaitGroup
	for i, x := range batch {
		results[i].samples = make([]sample, x.samples())
		for n := range results[i].samples {
			port, seed := s.nextPort(), seed+uint64(n)
			ports[i] = append(ports[i], port)
			c.link.Announce(port, x.conditions(s.rate), seed)
			all.Go(func() {
				conn, got := s.one(c, x, port, seed)
				results[i].samples[n] = got
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, conn)
			})
		}
	}
	all.Wait()
	report := c.link.Clear()
	for i := range batch {
		for _, port := range ports[i] {
			results[i].links[link.Client].Add(report.Links[port][link.Client])
			results[i].links[link.Server].Add(report.Links[port][link.Server])
		}
	}
	for _, conn := range conns {
		if conn != nil {
			conn.Close() // a RST, that nothing holds up
		}
	}
	c.link.Quiet(40*time.Millisecond, 2*time.Second)
	return results, report, c.link.Release()
}

func (s *sampler) nextPort() uint16 {
	if s.port++; s.port < firstPort || s.port > lastPort {
		s.port = firstPort
	}
	return s.port
}

// one measures one connection. It is left open.
func (s *sampler) one(c *contender, x cell, port uint16, seed uint64) (net.Conn, sample) {
	conn, err := s.dial(c, x, port)
	if err != nil {
		return nil, sample{Seed: seed, Note: err.Error()}
	}
	conn.SetLinger(0)
	measure := download
	if x.Upload {
		measure = upload
	}
	bytes, err := measure(conn, x.lasts())
	note := ""
	if err != nil {
		note = err.Error()
	}
	return conn, sample{seed, float64(bytes) * 8 / x.lasts().Seconds() / 1e6, note}
}

func (s *sampler) dial(c *contender, x cell, port uint16) (tcp *net.TCPConn, err error) {
	server, control := c.chargen[x.Congestion], func(string, string, syscall.RawConn) error { return nil }
	if x.Upload {
		server, control = portDiscard, setCongestion(x.Congestion)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(port)}, Timeout: 20 * time.Second, Control: control}
	err = s.client.Do(func() error {
		conn, err := dialer.Dial("tcp", netip.AddrPortFrom(c.server, server).String())
		if err == nil {
			tcp = conn.(*net.TCPConn)
		}
		return err
	})
	return tcp, err
}

// download counts what the application gets.
func download(conn *net.TCPConn, d time.Duration) (bytes uint64, err error) {
	conn.SetReadDeadline(time.Now().Add(d))
	for b := make([]byte, 256<<10); ; {
		n, err := conn.Read(b)
		bytes += uint64(n)
		if err != nil {
			return bytes, unlessTimeout(err)
		}
	}
}

// upload counts what was acknowledged; what waits in a buffer does not count.
func upload(conn *net.TCPConn, d time.Duration) (bytes uint64, err error) {
	conn.SetWriteDeadline(time.Now().Add(d))
	for b := make([]byte, 256<<10); err == nil; {
		_, err = conn.Write(b)
	}
	raw, failure := conn.SyscallConn()
	if failure != nil {
		return 0, failure
	}
	failure = raw.Control(func(fd uintptr) {
		if info, e := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); e == nil {
			bytes = info.Bytes_acked
		}
	})
	if failure != nil {
		return 0, failure
	}
	return bytes, unlessTimeout(err)
}

// unlessTimeout is nil for the end of the time.
func unlessTimeout(err error) error {
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return nil
	}
	return fmt.Errorf("ended early: %w", err)
}

// capture lets the link record the packets at both ends, under the name of a cell and its first seed.
func (s *sampler) capture(c *contender, x cell, seed uint64) error {
	if s.captures == "" {
		return nil
	}
	var files [2]*os.File
	for side, end := range []string{"client", "server"} {
		name := fmt.Sprintf("%s-%s-seed%d-%s.pcap", strings.ReplaceAll(x.String(), "/", "-"), c.name, seed, end)
		f, err := os.Create(filepath.Join(s.captures, name))
		if err != nil {
			return err
		}
		files[side] = f
	}
	c.link.Capture(files[link.Client], files[link.Server])
	return nil
}
