package stack_test

import (
	"encoding/binary"
	"fmt"
	"time"

	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// rawPeer speaks TCP by hand at the bare end of a link.
type rawPeer struct {
	link     *tun.Memory
	clock    *stack.VirtualClock
	from, to ip.Addr
}

// send writes a segment from port 4000 to port 7. ChecksumPartial: it never crossed a wire, and nobody verifies its checksum.
func (p *rawPeer) send(flags tcp.Flags, seq, ack tcp.Seq, data string) {
	const header = 20
	h := ip.Header{Src: p.from, Dst: p.to, Protocol: ip.ProtocolTCP, PayloadLen: header + len(data)}
	b := make([]byte, h.Len()+h.PayloadLen)
	t := b[h.Put(b):]
	binary.BigEndian.PutUint16(t, 4000)
	binary.BigEndian.PutUint16(t[2:], 7)
	binary.BigEndian.PutUint32(t[4:], uint32(seq))
	binary.BigEndian.PutUint32(t[8:], uint32(ack))
	t[12], t[13] = header/4<<4, byte(flags)
	binary.BigEndian.PutUint16(t[14:], 65535)
	copy(t[header:], data)
	p.link.Write(0, &ip.Outgoing{Header: b, NetworkLen: h.Len(), Offload: ip.Offload{Checksum: ip.ChecksumPartial}})
}

// receive prints what the stack has sent, and returns the last segment of it.
func (p *rawPeer) receive() (v tcp.View) {
	p.clock.Settle()
	p.link.Poll(0, 100, func(b []byte, o ip.Offload) {
		var packet ip.Packet
		if packet.Parse(b, o) == ip.DropNone && v.Parse(&packet) == tcp.DropNone {
			v.Payload = append([]byte(nil), v.Payload...) // borrowed until here
			fmt.Printf("%-3v %q\n", v.Flags, v.Payload)
		}
	})
	return v
}

// Raw packets to a stack: the other end of its link is spoken to by hand.
func Example_rawPackets() {
	clock := stack.NewVirtualClock()
	near, far := tun.NewMemory(1500, 1, 256)
	server := start(near, clock, "10.77.0.2", tcp.Options{})
	defer server.Close()
	l, _ := server.Listen("tcp", ":7")

	p := rawPeer{link: far, clock: clock, from: ip.Addr4([4]byte{10, 77, 0, 1}), to: ip.Addr4([4]byte{10, 77, 0, 2})}
	p.send(tcp.SYN, 1000, 0, "")
	synAck := p.receive()
	next := synAck.Seq + 1
	p.send(tcp.ACK, 1001, next, "")
	c, _ := l.Accept()

	p.send(tcp.ACK|tcp.PSH, 1001, next, "ping")
	p.receive()
	c.Write([]byte("pong"))
	p.receive()
	clock.Advance(time.Second) // it is not acknowledged, and sent again
	p.receive()
	// Output:
	// SA  ""
	// A   ""
	// PA  "pong"
	// PA  "pong"
	// PA  "pong"
}
