package netns

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTransmitDrops(t *testing.T) {
	const table = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
  tcp0: 1 2 3 4 5 6 7 8 9 10 11 42 13 14 15 16
`
	if n, err := transmitDrops(table, "tcp0"); n != 42 || err != nil {
		t.Errorf("got %d, %v; want 42", n, err)
	}
	if _, err := transmitDrops(table, "tcp1"); err == nil {
		t.Error("a device that is not there has a number")
	}
}

func TestTunInNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces; not tested: a TUN device in a namespace of its own")
	}
	ns, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	fd, err := ns.Tun("link0", 1500, 1000, "10.98.0.1/24", "fd98::1/64")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := ns.Dropped("link0"); n != 0 || err != nil {
		t.Errorf("a new device has dropped %d packets (%v)", n, err)
	}
	if _, err := os.Stat("/sys/class/net/link0"); err == nil {
		t.Error("the device appears outside of the namespace")
	}
}

func TestJoin(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces; not tested: a veth pair between two")
	}
	var ends [2]*Namespace
	for i := range ends {
		ns, err := New()
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		ends[i] = ns
	}
	if err := ends[0].Join(ends[1], "pair0"); err != nil {
		t.Fatal(err)
	}
	for i, ns := range ends {
		if err := ns.Run("ip", "link", "set", "pair0", "up"); err != nil {
			t.Errorf("namespace %d: %v", i, err)
		}
	}
}
