package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// library starts the stack itself, on a device inside the namespace, with Fast Open in both roles; the kernel has it as well.
func library(t *testing.T, ns *namespace) *stack.Stack {
	t.Helper()
	var device *tun.Device
	err := ns.do(func() (err error) {
		device, err = tun.Open(tun.Config{Name: "tcp0", Create: true, MTU: 1500, Host: prefixes("10.77.0.1/24", "fd77::1/64")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.run(t, "sysctl", "-qw", "net.ipv4.tcp_fastopen=3")
	o := tcp.DefaultOptions()
	o.FastOpen = tcp.FastOpenServer | tcp.FastOpenClient
	s, err := stack.New(stack.Config{Link: device, Addresses: prefixes("10.77.0.2/24", "fd77::2/64"), Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// synData tells whether the kernel counts data that travelled with the SYN.
func synData(t *testing.T, c *net.TCPConn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const optSynData = 32 // TCPI_OPT_SYN_DATA
	var info *unix.TCPInfo
	if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return info.Options&optSynData != 0
}

// option sets an option of TCP before a socket connects or listens.
func option(name, value int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, name, value) })
		return errors.Join(e, err)
	}
}

// sayHello writes and reads back on both ends of a connection.
func sayHello(t *testing.T, to net.Conn, from io.ReadWriter, hello []byte) {
	t.Helper()
	b := make([]byte, len(hello))
	if _, err := io.ReadFull(from, b); err != nil || string(b) != string(hello) {
		t.Fatalf("got %q, %v", b, err)
	}
	if _, err := from.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, b); err != nil || string(b) != string(hello) {
		t.Fatalf("got back %q, %v", b, err)
	}
}

// TestFastOpenServer: the kernel's client gets a cookie of ours, and then sends its data with the SYN.
func TestFastOpenServer(t *testing.T) {
	ns := newNamespace(t, "Fast Open of a kernel's client with us")
	s := library(t, ns)
	l, err := s.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hello := []byte("data that comes with the SYN")
	for _, family := range families {
		for i, want := range []bool{false, true, true} {
			var c net.Conn
			err := ns.do(func() (err error) {
				d := net.Dialer{Timeout: hung / 2, Control: option(unix.TCP_FASTOPEN_CONNECT, 1)}
				c, err = d.Dial("tcp", address(family.host, 80))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(hello); err != nil {
				t.Fatal(err)
			}
			ours, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			sayHello(t, c, ours, hello)
			if kernel, we := synData(t, c.(*net.TCPConn)), ours.(*stack.Conn).Info().SynData; kernel != want || we != want {
				t.Errorf("%s, connection %d: data with the SYN: the kernel says %v, we %v", family.name, i+1, kernel, we)
			}
			c.Close()
			ours.Close()
		}
	}
}

// TestFastOpenClient: we get a cookie of the kernel's, and then send data with the SYN.
func TestFastOpenClient(t *testing.T) {
	ns := newNamespace(t, "Fast Open with a kernel's server")
	s := library(t, ns)
	hello := []byte("data that comes with the SYN")
	for _, host := range []string{"10.77.0.1", "fd77::1"} {
		var l net.Listener
		err := ns.do(func() (err error) {
			c := net.ListenConfig{Control: option(unix.TCP_FASTOPEN, 16)}
			l, err = c.Listen(context.Background(), "tcp", net.JoinHostPort(host, "8080"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		at := netip.AddrPortFrom(netip.MustParseAddr(host), 8080)
		for i, want := range []bool{false, true, true} {
			ctx, cancel := context.WithTimeout(context.Background(), hung/2)
			c, err := s.DialData(ctx, at, hello, nil)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			sayHello(t, c, theirs, hello)
			if kernel, we := synData(t, theirs.(*net.TCPConn)), c.Info().SynData; kernel != want || we != want {
				t.Errorf("%s, connection %d: data with the SYN: the kernel says %v, we %v", host, i+1, kernel, we)
			}
			c.Close()
			theirs.Close()
		}
	}
}
