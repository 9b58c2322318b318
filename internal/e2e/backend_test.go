package e2e

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Ports of the proxy services that most tests use, and of their backends on 127.0.0.1.
const (
	sourcePort = 8001 // sends content
	sinkPort   = 8002 // reads to the end and says whether it was whole
)

// backend runs handle for every connection to a kernel listener in the namespace and closes the connection afterwards. At the
// end of the test it closes what is open and waits for every handle to return.
func backend(t *testing.T, ns *namespace, network, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	l := ns.listen(t, network, address)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { l.Close() })
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(hung))
				handle(conn)
			})
		}
	})
	return l
}

// sourceAndSink runs both usual backends and returns the services that lead to them.
func sourceAndSink(t *testing.T, ns *namespace, seed uint64, size int64) []string {
	t.Helper()
	source := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { send(conn, seed, size) })
	sink := backend(t, ns, "tcp", "127.0.0.1:0", func(conn net.Conn) { judge(conn, seed, size) })
	return []string{
		proxyService("source", sourcePort, source.Addr().String()),
		proxyService("sink", sinkPort, sink.Addr().String()),
	}
}

// whole is what a sink says of content that arrived well.
const whole = "whole"

// judge reads content and tells the sender whether it is whole, or what is wrong with it.
func judge(conn net.Conn, seed uint64, size int64) {
	verdict := whole
	if err := check(conn, seed, size); err != nil {
		verdict = err.Error()
	}
	conn.Write([]byte(verdict))
}
