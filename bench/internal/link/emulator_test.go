package link

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packet is a minimal IPv4 TCP packet.
func packet(source, destination uint16, n int) []byte {
	p := make([]byte, n)
	p[0], p[9] = 0x45, unix.IPPROTO_TCP
	p[20], p[21], p[22], p[23] = byte(source>>8), byte(source), byte(destination>>8), byte(destination)
	return p
}

// joinedPair is an emulator between two datagram sockets instead of TUN devices.
func joinedPair(t *testing.T) (e *Emulator, client, server int) {
	t.Helper()
	var ends [2][2]int
	for i := range ends {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = pair
		t.Cleanup(func() { unix.Close(pair[1]) })
	}
	e, err := New(ends[Client][0], ends[Server][0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, ends[Client][1], ends[Server][1]
}

// receive waits for a packet.
func receive(t *testing.T, fd int) []byte {
	t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n != 1 {
		t.Fatalf("nothing arrived: %v", err)
	}
	b := make([]byte, 2048)
	n, err := unix.Read(fd, b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestEmulatorDelaysWhatIsAnnounced(t *testing.T) {
	e, client, server := joinedPair(t)
	e.Announce(4000, Conditions{Rate: 1e9, Delay: 20 * time.Millisecond, Queue: 1 << 20}, 1)
	for _, way := range []struct {
		from, to int
		packet   []byte
		delay    time.Duration
	}{
		{client, server, packet(4000, 80, 1500), 20 * time.Millisecond},
		{server, client, packet(80, 4000, 1500), 20 * time.Millisecond},
		{client, server, packet(4001, 80, 1500), 0},
	} {
		start := time.Now()
		if _, err := unix.Write(way.from, way.packet); err != nil {
			t.Fatal(err)
		}
		got := receive(t, way.to)
		if took := time.Since(start); took < way.delay || !bytes.Equal(got, way.packet) {
			t.Errorf("%d bytes arrived after %v, want the %d that were sent and %v at least", len(got), took, len(way.packet), way.delay)
		}
	}
	r := e.Clear()
	if l := r.Links[4000]; len(r.Links) != 1 || l[Client].Entered != 1 || l[Server].Entered != 1 || r.Late.n != 3 {
		t.Errorf("counted %+v of %d: one packet of the announced connection went each way, three in all", r.Links, r.Late.n)
	}
}

func TestClearDropsWhatIsOnItsWay(t *testing.T) {
	e, client, server := joinedPair(t)
	e.Announce(4000, Conditions{Rate: 1e9, Delay: time.Hour, Queue: 1 << 20}, 1)
	unix.Write(client, packet(4000, 80, 100))
	for e.entered(4000) == 0 {
		time.Sleep(time.Millisecond)
	}
	e.Clear()
	last := packet(4000, 80, 101)
	unix.Write(client, last)
	if got := receive(t, server); !bytes.Equal(got, last) {
		t.Errorf("got %d bytes, want the packet that was sent after Clear", len(got))
	}
}

// entered returns how many packets of a client's port the emulator has seen.
func (e *Emulator) entered(port uint16) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links[port][Client].counts.Entered
}

func TestTransitsComeInOrder(t *testing.T) {
	var x transits
	for i, due := range []time.Duration{5, 3, 5, 1, 3} {
		x.hold(due, Client, []byte{byte(i)})
	}
	var got []byte
	for range 5 {
		p := x.take()
		got = append(got, p.bytes[0])
		x.release(p.bytes)
	}
	if want := []byte{3, 1, 4, 0, 2}; !bytes.Equal(got, want) {
		t.Errorf("packets came in the order %v, want %v: by time, equal times as they entered", got, want)
	}
}

func TestClientPort(t *testing.T) {
	six := make([]byte, 60)
	six[0], six[40], six[41], six[42], six[43] = 0x60, 1, 2, 3, 4
	for _, c := range []struct {
		name   string
		packet []byte
		from   Side
		want   uint16
	}{
		{"IPv4 from the client", packet(4000, 80, 40), Client, 4000},
		{"IPv4 from the server", packet(80, 4000, 40), Server, 4000},
		{"IPv6 from the client", six, Client, 0x102},
		{"IPv6 from the server", six, Server, 0x304},
		{"cut short", packet(4000, 80, 40)[:21], Client, 0},
		{"empty", nil, Client, 0},
		{"neither family", make([]byte, 60), Client, 0},
	} {
		if got := clientPort(c.packet, c.from); got != c.want {
			t.Errorf("%s: port %d, want %d", c.name, got, c.want)
		}
	}
}
