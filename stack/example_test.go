package stack_test

import (
	"fmt"
	"io"
	"net/netip"

	"tcpd/stack"
	"tcpd/tun"
)

// Two stacks in one process, joined by a link in memory: an echo service and its client.
func Example() {
	near, far := tun.NewMemory(1500, 1, 256)
	server, err := stack.New(stack.Config{Link: near, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := stack.New(stack.Config{Link: far, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	l, err := server.Listen("tcp", ":7")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()

	c, err := client.Dial("tcp", "10.77.0.2:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "hello")
	c.(*stack.Conn).CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Println(string(answer), err)
	// Output: hello <nil>
}
