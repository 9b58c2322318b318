package stack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// start makes a stack on an end of a link, with an address of the network 10.77.0.0/24. With a secret and a seed of one's own,
// every run sends the same numbers.
func start(link stack.Link, clock stack.Clock, address string, o tcp.Options) *stack.Stack {
	s, err := stack.New(stack.Config{
		Link: link, Clock: clock, Addresses: []netip.Prefix{netip.MustParsePrefix(address + "/24")}, Options: o,
		Secret: [16]byte{1}, Seed: 1,
	})
	if err != nil {
		panic(err)
	}
	return s
}

// Two stacks in virtual time. Only Advance moves the clock, so that this takes no time at all.
func Example_virtualTime() {
	clock := stack.NewVirtualClock()
	near, far := tun.NewMemory(1500, 1, 256)
	server := start(near, clock, "10.77.0.2", tcp.Options{Congestion: tcp.Reno})
	client := start(far, clock, "10.77.0.1", tcp.Options{ECN: tcp.ECNOn})
	defer server.Close()
	defer client.Close()

	l, _ := server.Listen("tcp", ":80")
	c, err := client.DialTCP(context.Background(), netip.MustParseAddrPort("10.77.0.2:80"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	accepted, _ := l.Accept()
	s := accepted.(*stack.Conn)

	// Options, as a *net.TCPConn has them, and those of TCP.
	c.SetNoDelay(true)
	c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Hour, Interval: time.Minute, Count: 5})
	c.SetUserTimeout(10 * time.Minute)

	c.Write([]byte("hello"))
	clock.Settle() // the data has arrived, and been acknowledged
	buf := make([]byte, 100)
	n, _ := s.Read(buf)
	i := c.Info()
	fmt.Printf("%q, %d bytes acknowledged, ECN %v, %v\n", buf[:n], i.BytesAcked, i.ECN, i.Congestion)

	clock.Advance(90 * time.Minute)
	i = c.Info()
	fmt.Println(i.State, "after", time.Duration(i.Age), "- a probe was answered", time.Duration(i.Idle).Round(time.Second), "ago")

	// The orderly end: FIN both ways, and TIME-WAIT at the side that began.
	c.CloseWrite()
	rest, err := io.ReadAll(s)
	fmt.Printf("%q %v\n", rest, err)
	s.Close()
	clock.Settle()
	c.Close()
	fmt.Println(client.Stats().TimeWait, "in TIME-WAIT")
	clock.Advance(time.Minute)
	fmt.Println(client.Stats().TimeWait, "in TIME-WAIT")
	// Output:
	// "hello", 5 bytes acknowledged, ECN true, cubic
	// ESTABLISHED after 1h30m0s - a probe was answered 30m0s ago
	// "" <nil>
	// 1 in TIME-WAIT
	// 0 in TIME-WAIT
}
