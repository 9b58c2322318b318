package tcp_test

import (
	"fmt"

	"tcpd/ip"
	"tcpd/tcp"
)

// carry takes everything that a table has to send and returns the packets as a link would deliver them.
func carry(t *tcp.Table, now tcp.Time) (packets []ip.Packet) {
	var out ip.Outgoing
	for t.Poll(now, &out) {
		b := append([]byte(nil), out.Header...)
		for _, part := range out.Payload {
			b = append(b, part...)
		}
		var p ip.Packet
		if p.Parse(b, out.Offload) == ip.DropNone {
			packets = append(packets, p)
		}
	}
	return packets
}

// Four segments of one message arrive shuffled, and nothing is acknowledged in between: they are delivered in order, and one
// acknowledgement covers all.
func Example_reassembly() {
	client := tcp.NewTable(tcp.Config{Secret: [16]byte{1}})
	server := tcp.NewTable(tcp.Config{Secret: [16]byte{2}})
	now := tcp.Time(tcp.Second)

	flow := tcp.Flow{Local: ip.Addr4([4]byte{10, 77, 0, 1}), Remote: ip.Addr4([4]byte{10, 77, 0, 2}), RemotePort: 7}
	listener, _ := server.Listen(ip.Addr{}, 7, tcp.ListenOptions{})
	c, _ := client.Connect(now, flow, tcp.Options{NoDelay: true})
	var syn, answer tcp.View
	for _, p := range carry(client, now) { // SYN
		syn.Parse(&p)
		server.Arrive(now, &p)
	}
	for _, p := range carry(server, now) { // SYN-ACK
		client.Arrive(now, &p)
	}
	for _, p := range carry(client, now) { // ACK
		server.Arrive(now, &p)
	}
	s := server.Accept(listener)

	var segments []ip.Packet
	for _, text := range []string{"sequence ", "numbers ", "beat ", "luck"} {
		client.Write(now, c, []byte(text))
		segments = append(segments, carry(client, now)...)
	}
	buf := make([]byte, 100)
	for _, i := range []int{2, 0, 3, 1} {
		server.Arrive(now, &segments[i])
		n, _ := server.Read(now, s, buf)
		fmt.Printf("segment %d arrives, delivered %q, waiting: %d bytes\n", i+1, buf[:n], server.Info(now, s).OutOfOrder)
	}
	for _, p := range carry(server, now) {
		answer.Parse(&p)
		fmt.Printf("%v acknowledges %d bytes\n", answer.Flags, answer.Ack-syn.Seq-1)
	}

	// Output:
	// segment 3 arrives, delivered "", waiting: 5 bytes
	// segment 1 arrives, delivered "sequence ", waiting: 5 bytes
	// segment 4 arrives, delivered "", waiting: 9 bytes
	// segment 2 arrives, delivered "numbers beat luck", waiting: 0 bytes
	// A acknowledges 26 bytes
}
