package stack_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tun"
)

// wire is a stack and the bare other end of its link.
type wire struct {
	t     *testing.T
	stack *stack.Stack
	end   *tun.Memory
}

func newWire(t *testing.T, edit func(*stack.Config)) *wire {
	near, far := tun.NewMemory(1500, 1, 4096)
	cfg := stack.Config{Link: near, Addresses: serverAddrs, Secret: [16]byte{1}, Seed: 1}
	if edit != nil {
		edit(&cfg)
	}
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t}
	t.Cleanup(func() { p.end(s) })
	return &wire{t, s, far}
}

// send writes packets and returns what comes back, in a bubble.
func (w *wire) send(packets ...[]byte) (answers [][]byte) {
	w.t.Helper()
	for _, b := range packets {
		if err := w.end.Write(0, &ip.Outgoing{Header: b}); err != nil {
			w.t.Fatal(err)
		}
	}
	synctest.Wait()
	_, err := w.end.Poll(0, 1000, func(b []byte, _ ip.Offload) { answers = append(answers, bytes.Clone(b)) })
	if err != nil {
		w.t.Fatal(err)
	}
	return answers
}

// hosts are the ends of raw packets: theirs and ours.
type hosts struct{ theirs, ours ip.Addr }

var rawFamilies = map[string]hosts{
	"IPv4": {rawAddr("10.77.0.1"), rawAddr("10.77.0.2")},
	"IPv6": {rawAddr("fd77::1"), rawAddr("fd77::2")},
}

func rawAddr(s string) ip.Addr { return ip.AddrFrom(netip.MustParseAddr(s)) }

// packet builds one of any protocol.
func packet(src, dst ip.Addr, protocol uint8, payload []byte) []byte {
	h := ip.Header{Src: src, Dst: dst, Protocol: protocol, PayloadLen: len(payload), ID: 77}
	b := make([]byte, h.Len()+len(payload))
	copy(b[h.Put(b):], payload)
	return b
}

// checksummed completes the checksum of a transport payload at offset.
func checksummed(h hosts, protocol uint8, payload []byte, offset int) []byte {
	var sum uint16
	if protocol != ip.ProtocolICMP {
		sum = ip.PseudoSum(h.theirs, h.ours, protocol, len(payload))
	}
	binary.BigEndian.PutUint16(payload[offset:], 0)
	binary.BigEndian.PutUint16(payload[offset:], ^ip.Sum(payload, sum))
	return payload
}

func echoRequest(h hosts, data []byte) []byte {
	kind, protocol := byte(8), uint8(ip.ProtocolICMP)
	if !h.ours.Is4() {
		kind, protocol = 128, ip.ProtocolICMPv6
	}
	m := append([]byte{kind, 0, 0, 0, 1, 2, 3, 4}, data...)
	return packet(h.theirs, h.ours, protocol, checksummed(h, protocol, m, 2))
}

func udp(h hosts) []byte {
	d := []byte{0x30, 0x39, 0x00, 0x35, 0, 12, 0, 0, 'p', 'i', 'n', 'g'}
	return packet(h.theirs, h.ours, ip.ProtocolUDP, checksummed(h, ip.ProtocolUDP, d, 6))
}

func parse(t *testing.T, b []byte) (p ip.Packet, m ip.ICMP) {
	t.Helper()
	if d := p.Parse(b, ip.Offload{}); d != ip.DropNone {
		t.Fatalf("the answer does not parse: %v", d)
	}
	if d := m.Parse(&p); d != ip.DropNone {
		t.Fatalf("the answer's ICMP does not parse: %v", d)
	}
	return p, m
}

// eachWire runs f in a bubble for both families.
func eachWire(t *testing.T, edit func(*stack.Config), f func(w *wire, h hosts)) {
	for family, h := range rawFamilies {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(newWire(t, edit), h) })
		})
	}
}

func TestPing(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		answers := w.send(echoRequest(h, []byte("data")))
		if len(answers) != 1 {
			w.t.Fatalf("%d answers, want 1", len(answers))
		}
		p, m := parse(w.t, answers[0])
		if m.Kind != ip.EchoReply || string(m.Body) != "data" || p.Src != h.ours || p.Dst != h.theirs {
			w.t.Errorf("answer %v %q from %v to %v", m.Kind, m.Body, p.Src, p.Dst)
		}
		bad := echoRequest(h, []byte("data"))
		bad[len(bad)-1]++
		if n := len(w.send(bad)); n != 0 {
			w.t.Errorf("%d answers to a damaged request", n)
		}
		if st := w.stack.Stats(); st.EchoReplies != 1 || st.IPDrops[ip.DropICMPChecksum] != 1 {
			w.t.Errorf("counted %d replies, %d bad checksums", st.EchoReplies, st.IPDrops[ip.DropICMPChecksum])
		}
	})
}

// A ping larger than the MTU comes in fragments, in any order, and so does its answer.
func TestPingFragmented(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		data := bytes.Repeat([]byte("0123456789"), 500)
		fragments := cut(echoRequest(h, data), 1500)
		if len(fragments) < 4 {
			w.t.Fatalf("%d fragments, want 4", len(fragments))
		}
		slices.Reverse(fragments)
		answers := w.send(fragments...)
		r := ip.NewReassembler(1 << 20)
		var whole []byte
		for i, a := range answers {
			if len(a) > 1500 {
				w.t.Errorf("fragment %d has %d bytes", i, len(a))
			}
			var p ip.Packet
			if d := p.Parse(a, ip.Offload{}); d != ip.DropNone {
				w.t.Fatalf("fragment %d does not parse: %v", i, d)
			}
			var d ip.Drop
			if whole, d = r.Add(0, &p); d != ip.DropNone {
				w.t.Fatalf("fragment %d does not fit: %v", i, d)
			}
		}
		if whole == nil {
			w.t.Fatalf("%d fragments make no whole answer", len(answers))
		}
		if _, m := parse(w.t, whole); m.Kind != ip.EchoReply || !bytes.Equal(m.Body, data) {
			w.t.Errorf("answer %v of %d bytes", m.Kind, len(m.Body))
		}
		st := w.stack.Stats()
		if st.Reassembled != 1 || st.Fragments != uint64(len(fragments)) || st.Reassembly.Joined != st.Fragments {
			w.t.Errorf("%d fragments, %d datagrams, %d joined", st.Fragments, st.Reassembled, st.Reassembly.Joined)
		}
	})
}

// cut fragments a packet without options.
func cut(b []byte, mtu int) (fragments [][]byte) {
	v4 := b[0]>>4 == 4
	fixed, extra := ip.HeaderLen6, 8
	if v4 {
		fixed, extra = ip.HeaderLen4, 0
	}
	unit := (mtu - fixed - extra) &^ 7
	for at := fixed; at < len(b); at += unit {
		end := min(at+unit, len(b))
		f := append(bytes.Clone(b[:fixed]), make([]byte, extra)...)
		f = append(f, b[at:end]...)
		field := uint16(at-fixed) / 8
		more := end < len(b)
		be := binary.BigEndian
		if v4 {
			if more {
				field |= 0x2000
			}
			be.PutUint16(f[2:], uint16(len(f)))
			be.PutUint16(f[6:], field)
			be.PutUint16(f[10:], 0)
			be.PutUint16(f[10:], ^ip.Sum(f[:fixed], 0))
		} else {
			field <<= 3
			if more {
				field |= 1
			}
			be.PutUint16(f[4:], uint16(len(f)-fixed))
			f[fixed], f[6] = f[6], 44
			be.PutUint16(f[fixed+2:], field)
			be.PutUint32(f[fixed+4:], 99)
		}
		fragments = append(fragments, f)
	}
	return fragments
}

// Incomplete datagrams go after half a minute, or a little more, though nothing else arrives.
func TestFragmentsExpire(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		w.send(cut(echoRequest(h, make([]byte, 4000)), 1500)[:2]...)
		if st := w.stack.Stats(); st.Fragments != 2 || st.ReassemblyBytes == 0 {
			w.t.Errorf("%d fragments wait with %d bytes, want 2", st.Fragments, st.ReassemblyBytes)
		}
		time.Sleep(41 * time.Second)
		synctest.Wait()
		st := w.stack.Stats()
		if st.ReassemblyBytes != 0 || st.Reassembly.Lost[ip.DropFragmentTimeout] != 2 {
			w.t.Errorf("%d bytes are left, %d fragments counted as late", st.ReassemblyBytes,
				st.Reassembly.Lost[ip.DropFragmentTimeout])
		}
	})
}

func TestUnreachable(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		_, m := parse(w.t, w.send(udp(h))[0])
		if m.Kind != ip.PortUnreachable || m.Embedded.Src != h.theirs {
			w.t.Errorf("UDP is answered with %v about %v", m.Kind, m.Embedded.Src)
		}
		_, m = parse(w.t, w.send(packet(h.theirs, h.ours, 132, make([]byte, 12)))[0])
		if want := map[bool]ip.ICMPKind{true: ip.ProtocolUnreachable, false: ip.ParameterProblem}[h.ours.Is4()]; m.Kind != want &&
			m.Kind != ip.ProtocolUnreachable {
			w.t.Errorf("SCTP is answered with %v", m.Kind)
		}
		st := w.stack.Stats()
		if st.Drops[stack.DropUDPPort] != 1 || st.Drops[stack.DropProtocol] != 1 || st.ICMPErrors != 2 {
			w.t.Errorf("counted %d, %d, %d", st.Drops[stack.DropUDPPort], st.Drops[stack.DropProtocol], st.ICMPErrors)
		}
	})
}

// One destination gets a few errors at once and then one a second; all together get what Linux would send.
func TestErrorsAreLimited(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		count := func() int { return len(w.send(slices.Repeat([][]byte{udp(h)}, 100)...)) }
		if n := count(); n < 1 || n > 6 {
			w.t.Errorf("100 datagrams bring %d errors, want at most 6", n)
		}
		time.Sleep(3 * time.Second)
		if n := count(); n < 2 || n > 4 {
			w.t.Errorf("3 seconds later %d errors, want 3", n)
		}
		total := 0
		for i := range 200 {
			other := h
			if h.ours.Is4() {
				other.theirs[15] = byte(i + 3)
			} else {
				other.theirs[6] = byte(i + 3)
			}
			total += len(w.send(udp(other)))
		}
		if total < 20 || total > 60 {
			w.t.Errorf("200 hosts get %d errors at once, want about 50", total)
		}
		st := w.stack.Stats()
		if st.ICMPErrorsLimited == 0 || st.Drops[stack.DropUDPPort] != 400 {
			w.t.Errorf("%d errors counted as limited, %d datagrams as dropped", st.ICMPErrorsLimited,
				st.Drops[stack.DropUDPPort])
		}
	})
}

// What must not be answered is dropped with its reason.
func TestSilentDrops(t *testing.T) {
	type drop struct {
		b    []byte
		own  stack.Drop
		ipD  ip.Drop
		what string
	}
	for family, h := range rawFamilies {
		a := func(v4, v6 string) ip.Addr {
			if h.ours.Is4() {
				return rawAddr(v4)
			}
			return rawAddr(v6)
		}
		from := func(src, dst ip.Addr) []byte { return echoRequest(hosts{src, dst}, nil) }
		drops := []drop{
			{from(h.theirs, a("10.77.0.3", "fd77::3")), stack.DropNotOurs, 0, "not ours"},
			{from(h.ours, h.ours), 0, ip.DropMartianLand, "land"},
			{from(a("127.0.0.1", "::1"), h.ours), 0, ip.DropMartianSourceLoopback, "loopback source"},
			{from(a("224.0.0.1", "ff02::1"), h.ours), 0, ip.DropMartianSourceMulticast, "multicast source"},
			{from(h.theirs, a("224.0.0.1", "ff02::1")), 0, ip.DropMartianDestinationMulticast, "multicast destination"},
			{append([]byte{0x10}, make([]byte, 40)...), 0, ip.DropVersion, "version"},
		}
		if h.ours.Is4() {
			drops = append(drops,
				drop{from(rawAddr("10.77.0.255"), h.ours), stack.DropSourceBroadcast, 0, "broadcast source"},
				drop{from(rawAddr("10.77.0.0"), h.ours), stack.DropSourceBroadcast, 0, "old broadcast source"},
				drop{from(h.theirs, rawAddr("10.77.0.255")), stack.DropNotOurs, 0, "broadcast destination"})
		}
		for _, d := range drops {
			t.Run(family+" "+d.what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWire(t, nil)
					if n := len(w.send(d.b)); n != 0 {
						t.Errorf("%d answers", n)
					}
					st := w.stack.Stats()
					if d.own != 0 && st.Drops[d.own] != 1 || d.ipD != 0 && st.IPDrops[d.ipD] != 1 {
						t.Errorf("not counted as %v/%v: %v %v", d.own, d.ipD, st.Drops, st.IPDrops)
					}
				})
			})
		}
	}
}

// One of our own addresses as the source is not believed, whichever it is.
func TestOwnSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, func(c *stack.Config) { c.Addresses = append(c.Addresses, prefixes("10.77.0.5/24")...) })
		w.send(echoRequest(hosts{rawAddr("10.77.0.5"), rawAddr("10.77.0.2")}, nil))
		if st := w.stack.Stats(); st.Drops[stack.DropSourceOurs] != 1 {
			t.Errorf("not counted: %v", st.Drops)
		}
	})
}

// An ICMP error about a connection that is being opened ends it; one with another sequence number does not.
func TestUnreachableEndsDial(t *testing.T) {
	eachWire(t, nil, func(w *wire, h hosts) {
		target := netip.AddrPortFrom(h.theirs.Netip(), 80).String()
		dialled := make(chan error, 1)
		go func() {
			_, err := w.stack.Dial("tcp", target)
			dialled <- err
		}()
		syns := w.send()
		if len(syns) != 1 {
			w.t.Fatalf("%d packets, want a SYN", len(syns))
		}
		var syn ip.Packet
		if d := syn.Parse(syns[0], ip.Offload{Checksum: ip.ChecksumPartial}); d != ip.DropNone {
			w.t.Fatal(d)
		}
		unreachable := func() []byte {
			b := make([]byte, ip.MaxICMPError)
			n, ok := ip.PutUnreachable(b, ip.HostUnreachable, h.theirs, &syn, 0)
			if !ok {
				w.t.Fatal("no ICMP error was built")
			}
			return b[:n]
		}
		binary.BigEndian.PutUint32(syn.Payload[4:], binary.BigEndian.Uint32(syn.Payload[4:])+1000)
		w.send(unreachable())
		select {
		case err := <-dialled:
			w.t.Fatalf("an error that quotes another sequence number ended the dial: %v", err)
		default:
		}
		binary.BigEndian.PutUint32(syn.Payload[4:], binary.BigEndian.Uint32(syn.Payload[4:])-1000)
		w.send(unreachable())
		if err := <-dialled; err == nil {
			w.t.Error("the dial succeeded")
		}
	})
}
