package ether

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tcpd/ip"
)

// ready returns a host that has its addresses, 10.0.0.1 and fd00::1.
func ready(t testing.TB) *Host {
	t.Helper()
	h, err := NewHost(Config{MAC: mac(1), Addresses: prefixes("10.0.0.1/24", "fd00::1/64")})
	if err != nil {
		t.Fatal(err)
	}
	h.Start(0)
	for now := Time(0); now < 20*second; now += second / 4 {
		h.Advance(now)
	}
	for h.Poll() != nil {
	}
	return h
}

func frameOf(dst, src MAC, t uint16, body ...byte) []byte {
	b := make([]byte, HeaderLen)
	putHeader(b, dst, src, t)
	return append(b, body...)
}

// arpFrame is a request of 10.0.0.2 for 10.0.0.1, changed.
func arpFrame(change func(*arp)) []byte {
	a := arp{op: arpRequest, senderMAC: mac(2), sender: addr("10.0.0.2"), target: addr("10.0.0.1")}
	change(&a)
	b := make([]byte, arpLen)
	a.put(b)
	return frameOf(Broadcast, mac(2), typeARP, b...)
}

// ndFrame is a solicitation of fd00::2 for fd00::1, changed before its checksum is made, and after.
func ndFrame(change func(*neighborMessage), after func(packet []byte)) []byte {
	m := neighborMessage{src: addr("fd00::2"), dst: solicitedNode(addr("fd00::1")), target: addr("fd00::1"), mac: mac(2)}
	change(&m)
	b := make([]byte, m.len())
	m.put(b)
	if after != nil {
		after(b)
	}
	return frameOf(multicast6(m.dst), mac(2), typeIPv6, b...)
}

// sum completes the checksum of an ICMPv6 packet without extension headers.
func sum(p []byte) {
	icmp := p[ip.HeaderLen6:]
	icmp[2], icmp[3] = 0, 0
	binary.BigEndian.PutUint16(icmp[2:], ^ip.Sum(icmp, ip.PseudoSum(ip.Addr(p[8:24]), ip.Addr(p[24:40]), 58, len(icmp))))
}

// fragmented puts a fragment header before the message.
func fragmented(f []byte) []byte {
	p := f[HeaderLen:]
	out := append([]byte(nil), f[:HeaderLen+ip.HeaderLen6]...)
	out = append(out, 58, 0, 0, 1, 0, 0, 0, 7) // offset 0, more to come
	out = append(out, p[ip.HeaderLen6:]...)
	out[HeaderLen+6] = 44
	binary.BigEndian.PutUint16(out[HeaderLen+4:], uint16(len(p)-ip.HeaderLen6+8))
	return out
}

var unchanged = func(*neighborMessage) {}

// dropped has a frame for each reason, so that none is only a name.
var dropped = map[Drop][][]byte{
	FrameShort: {{}, make([]byte, HeaderLen)},
	FrameSource: {frameOf(mac(1), Broadcast, typeIPv4, 0x45), frameOf(Broadcast, mac(1), typeARP, 0), frameOf(mac(1), MAC{}, typeIPv4, 0x45),
		arpFrame(func(a *arp) { a.senderMAC = mac(1) })},
	FrameForeign:  {frameOf(mac(7), mac(2), typeIPv4, 0x45)},
	FrameType:     {frameOf(Broadcast, mac(2), 0x8100, 0x45), frameOf(Broadcast, mac(2), 38, 0x42)},
	FrameMismatch: {frameOf(mac(1), mac(2), typeIPv4, 0x60), frameOf(mac(1), mac(2), typeIPv6, 0x45)},
	FrameGroup: {frameOf(Broadcast, mac(2), typeIPv4, packetTo(addr("10.0.0.2"), addr("10.0.0.1"), "x")...),
		frameOf(multicast6(allNodes), mac(2), typeIPv6, packetTo(addr("fd00::2"), addr("fd00::1"), "x")...)},
	ARPShort: {frameOf(Broadcast, mac(2), typeARP, make([]byte, arpLen-1)...)},
	ARPKind:  {frameOf(Broadcast, mac(2), typeARP, make([]byte, arpLen)...), arpFrame(func(a *arp) { a.op = 3 })},
	ARPSender: {arpFrame(func(a *arp) { a.senderMAC = Broadcast }), arpFrame(func(a *arp) { a.sender = addr("224.0.0.1") }),
		arpFrame(func(a *arp) { a.op, a.sender = arpReply, addr("0.0.0.0") })},
	ARPForeign:     {arpFrame(func(a *arp) { a.target = addr("10.0.0.3") })},
	ARPUnsolicited: {arpFrame(func(a *arp) { a.op = arpReply }), arpFrame(func(a *arp) { a.target = a.sender })},
	NDParse:        {frameOf(multicast6(allNodes), mac(2), typeIPv6, 0x60, 1, 2)},
	NDExtension:    {fragmented(ndFrame(unchanged, nil))},
	NDHopLimit:     {ndFrame(unchanged, func(p []byte) { p[7] = 254 })},
	NDIgnored:      {ndFrame(unchanged, func(p []byte) { p[40] = 134; sum(p) }), ndFrame(unchanged, func(p []byte) { p[40] = 137; sum(p) })},
	NDFormat: {ndFrame(unchanged, func(p []byte) { p[41] = 1; sum(p) }), ndFrame(unchanged, func(p []byte) { p[65] = 0; sum(p) }),
		ndFrame(unchanged, func(p []byte) { p[65] = 2; sum(p) }), ndFrame(func(m *neighborMessage) { m.mac = Broadcast }, nil)},
	NDChecksum: {ndFrame(unchanged, func(p []byte) { p[42]++ })},
	NDAddress: {ndFrame(func(m *neighborMessage) { m.target = allNodes }, nil),
		ndFrame(func(m *neighborMessage) { m.src = ip.Addr{} }, nil), // with an option
		ndFrame(func(m *neighborMessage) { m.src, m.dst, m.mac = ip.Addr{}, allNodes, MAC{} }, nil),
		ndFrame(func(m *neighborMessage) { m.dst = addr("ff02::2") }, nil),
		ndFrame(func(m *neighborMessage) { m.advertisement, m.solicited = true, true }, nil)},
	NDForeign: {ndFrame(func(m *neighborMessage) { m.target, m.dst = addr("fd00::3"), solicitedNode(addr("fd00::3")) }, nil)},
	NDUnsolicited: {ndFrame(func(m *neighborMessage) { m.advertisement, m.target, m.dst = true, m.src, allNodes }, nil),
		ndFrame(func(m *neighborMessage) { m.advertisement, m.target, m.dst, m.mac = true, m.src, allNodes, MAC{} }, nil)},
}

func TestEveryDrop(t *testing.T) {
	for d := Accepted + 1; d < NumDrops; d++ {
		if d != Probing && len(dropped[d]) == 0 {
			t.Errorf("no frame shows %v", d)
		}
		for i, f := range dropped[d] {
			h := ready(t)
			p := h.Arrive(30*second, f)
			if c := h.Counters(); p != nil || c.Drops[d] != 1 || h.Poll() != nil {
				t.Errorf("%v, frame %d: counted %v", d, i, c.Drops)
			}
		}
	}
	h, _ := NewHost(Config{MAC: mac(1), Addresses: prefixes("10.0.0.1/24", "fd00::1/64")})
	for _, f := range [][]byte{arpFrame(func(*arp) {}), ndFrame(unchanged, nil)} {
		h.Arrive(0, f)
		h.Start(0)
		h.Arrive(0, f)
	}
	h.Arrive(0, frameOf(mac(1), mac(2), typeIPv4, packetTo(addr("10.0.0.2"), addr("10.0.0.1"), "x")...))
	if n := h.Counters().Drops[Probing]; n != 5 {
		t.Errorf("%d of 5 frames were dropped before the addresses were ours", n)
	}
}

// What is built is what is read, by this code and by that of package ip.
func TestMessagesRoundTrip(t *testing.T) {
	want := neighborMessage{src: addr("fd00::2"), dst: addr("fd00::1"), target: addr("fd00::2"), mac: mac(2), advertisement: true, solicited: true, override: true}
	b := make([]byte, want.len())
	want.put(b)
	var p ip.Packet
	var got neighborMessage
	if d := p.Parse(b, ip.Offload{}); d != ip.DropNone || !isND(&p) || got.parse(&p) != Accepted || got != want {
		t.Errorf("%v, %+v, want %+v", d, got, want)
	}
	request := arp{op: arpReply, senderMAC: mac(1), sender: addr("10.0.0.1"), targetMAC: mac(2), target: addr("10.0.0.2")}
	raw := make([]byte, arpLen)
	request.put(raw)
	var read arp
	if d := read.parse(append(raw, 0, 0, 0)); d != Accepted || read != request {
		t.Errorf("%v, %+v, want %+v", d, read, request)
	}
	// RFC 826, as on the wire.
	wire := []byte{0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2}
	if !bytes.Equal(raw, wire) {
		t.Errorf("%x, want %x", raw, wire)
	}
}

// The packet path of a known neighbor allocates nothing, nor do questions for our addresses.
func TestNoAllocation(t *testing.T) {
	h := ready(t)
	ask, now := arpFrame(func(*arp) {}), 30*second
	packet := frameOf(mac(1), mac(2), typeIPv6, packetTo(addr("fd00::2"), addr("fd00::1"), "x")...)
	h.Arrive(Time(now), ask)
	n := testing.AllocsPerRun(100, func() {
		h.Arrive(Time(now), ask)
		for h.Poll() != nil {
		}
		if _, known, _ := h.Route(Time(now), addr4); !known || h.Arrive(Time(now), packet) == nil {
			t.Fatal("the neighbor is not known, or the packet was dropped")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var addr4 = addr("10.0.0.2")

// FuzzArrive lets any frames arrive, at any time, at a host with packets that wait: it must not panic, keep its accounts, and
// bound what it keeps and says.
func FuzzArrive(f *testing.F) {
	for _, list := range dropped {
		for _, b := range list {
			f.Add(b, uint16(1))
		}
	}
	f.Add(claim(mac(9), "10.0.0.2"), uint16(40000))
	f.Add(claim(mac(9), "fd00::2"), uint16(40000))
	f.Add(query("fe80::9", 1), uint16(300))
	f.Fuzz(func(t *testing.T, frame []byte, step uint16) {
		h, now := ready(t), Time(30*second)
		for i := range 6 {
			for _, to := range []string{"10.0.0.2", "fd00::2"} {
				h.Hold(now, addr(to), packetTo(addr("10.0.0.1"), addr(to), "x"))
			}
			h.Arrive(now, frame)
			sent := 0
			for b := h.Poll(); b != nil; b = h.Poll() {
				if sent++; len(b) <= HeaderLen || MAC(b[6:]) != mac(1) || !MAC(b).Valid() && !MAC(b).IsGroup() {
					t.Fatalf("a frame %x", b)
				}
			}
			if sent > 6 {
				t.Fatalf("%d frames in answer to one", sent)
			}
			now += Time(step) * millisecond * Time(i)
			h.Advance(now)
			if h.Deadline() <= now {
				t.Fatalf("the deadline %d is not after %d", h.Deadline(), now)
			}
		}
		checkCounters(t, h)
	})
}
