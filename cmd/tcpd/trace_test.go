package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tcpd/ip"
	"tcpd/tun"
)

// tracedPacket is a segment between us, 10.0.0.1:1000, and 10.0.0.2:2000, or a second peer's port.
func tracedPacket(d tun.Direction, port uint16, seq, ack uint32, flags byte, data int) []byte {
	ours, peer := ip.Addr4([4]byte{10, 0, 0, 1}), ip.Addr4([4]byte{10, 0, 0, 2})
	ports := [2]uint16{1000, port}
	h := ip.Header{Src: ours, Dst: peer, Protocol: ip.ProtocolTCP, PayloadLen: 20 + data}
	if d == tun.In {
		h.Src, h.Dst, ports = peer, ours, [2]uint16{port, 1000}
	}
	b := make([]byte, h.Len()+h.PayloadLen)
	be, t := binary.BigEndian, b[h.Put(b):]
	be.PutUint16(t, ports[0])
	be.PutUint16(t[2:], ports[1])
	be.PutUint32(t[4:], seq)
	be.PutUint32(t[8:], ack)
	t[12], t[13] = 5<<4, flags
	return b
}

func TestTraceLines(t *testing.T) {
	const fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
	var out bytes.Buffer
	x := newTracer(&out)
	for _, s := range []struct {
		d        tun.Direction
		dropped  bool
		port     uint16
		seq, ack uint32
		flags    byte
		data     int
	}{
		{tun.Out, false, 2000, 0xffffffff, 0, syn, 0}, // the first sequence number is about to wrap
		{tun.In, false, 2000, 5000, 0, syn | ack, 0},
		{tun.Out, false, 2000, 0, 5001, ack, 0},
		{tun.Out, true, 2000, 0, 5001, psh | ack, 100},
		{tun.Out, false, 2000, 100, 5001, psh | ack, 100},
		{tun.Out, false, 2000, 0, 5001, psh | ack, 100},
		{tun.Out, false, 2000, 50, 5001, psh | ack, 100},
		{tun.In, false, 2000, 5001, 200, fin | ack, 10},
		{tun.In, false, 2000, 5001, 200, fin | ack, 10},
		{tun.In, false, 2001, 9, 0, rst, 0},
	} {
		x.observe(s.d, s.dropped, tracedPacket(s.d, s.port, s.seq, s.ack, s.flags, s.data))
	}
	x.flush()
	want := `SEND 0 0 1 SYN
RECV 0 1 1 SYN,ACK
SEND 1 1 1 ACK
DROP 1 1 1 PSH,ACK
SEND 101 1 1 PSH,ACK
SEND 1 1 1 PSH,ACK
SEND 51 1 1 PSH,ACK DUP
RECV 1 201 1 FIN,ACK
RECV 1 201 1 FIN,ACK DUP
RECV 1 0 2 RST
`
	if out.String() != want {
		t.Errorf("the trace is\n%s\nwant\n%s", &out, want)
	}
}

func TestTraceIgnoresWhatIsNoSegment(t *testing.T) {
	var out bytes.Buffer
	x := newTracer(&out)
	for n := range 60 {
		x.observe(tun.Out, false, tracedPacket(tun.Out, 1, 1, 1, 16, 40)[:n])
	}
	x.flush()
	if out.Len() != 0 {
		t.Errorf("packets that are cut off give %q", &out)
	}
}
