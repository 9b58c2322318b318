package ip

import (
	"bytes"
	"testing"
)

// ping returns an echo request with n bytes of data.
func (f family) ping(n int) []byte {
	kind := uint8(type4Echo)
	if f.icmp == ProtocolICMPv6 {
		kind = type6Echo
	}
	return f.build(f.icmp, f.icmpMessage(kind, 0, 0x00070001, bytes.Repeat([]byte{'p'}, n)))
}

func TestPutEchoReply(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		for _, n := range []int{0, 1, 2, 56, 1400, 0xffff - HeaderLen4 - 8} {
			request := mustParse(t, f.ping(n))
			dst := make([]byte, f.header+8+n)
			got, ok := PutEchoReply(dst, request)
			if !ok || got != len(dst) {
				t.Fatalf("%d bytes of data: %d bytes, %v", n, got, ok)
			}
			if f.ours.Is4() && dst[6] != flagDontFragment>>8 {
				t.Error("without an ID the reply must not be fragmented")
			}
			var m ICMP
			reply := mustParse(t, dst)
			if d := m.Parse(reply); d != DropNone || m.Kind != EchoReply {
				t.Fatalf("%d bytes of data: %v, %v", n, m.Kind, d)
			}
			if reply.Src != f.ours || reply.Dst != f.peer || m.ID != 7 || m.Seq != 1 || !bytes.Equal(m.Body, request.Payload[8:]) {
				t.Errorf("%d bytes of data: %+v", n, m)
			}
			if _, ok := PutEchoReply(dst[:len(dst)-1], request); ok {
				t.Errorf("%d bytes of data: written to a buffer too short", n)
			}
		}
	})
}

func TestPutEchoReply_typeOfService(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		whole := mustParse(t, f.ping(8))
		b := build(Header{Src: f.peer, Dst: f.ours, Protocol: f.icmp, TOS: 0xbb}, whole.Payload)
		dst := make([]byte, 200)
		n, _ := PutEchoReply(dst, mustParse(t, b))
		if p := mustParse(t, dst[:n]); p.TOS != 0xb8 {
			t.Errorf("TOS %#x, want the DSCP of the request and no congestion mark", p.TOS)
		}
	})
}

func TestAttack_C08_echoOfOddRequests(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		dst := make([]byte, 0x10000)
		refuse := func(why string, p *Packet) {
			if n, ok := PutEchoReply(dst, p); ok || n != 0 {
				t.Errorf("%s was answered with %d bytes", why, n)
			}
		}
		refuse("a fragment", mustParse(t, cut(f.ping(64), 1, 0, 40, true)))
		refuse("a message without header", mustParse(t, f.build(f.icmp, []byte{8, 0, 0, 0})))
		refuse("TCP", mustParse(t, f.build(ProtocolTCP, f.tcp(2, nil))))
		multicast := addr("224.0.0.1")
		if !f.ours.Is4() {
			multicast = addr("ff02::1")
		}
		payload := mustParse(t, f.ping(8)).Payload
		refuse("a request to a group", mustParse(t, build(Header{Src: f.peer, Dst: multicast, Protocol: f.icmp}, payload)))
		refuse("a request from a group", mustParse(t, build(Header{Src: multicast, Dst: f.ours, Protocol: f.icmp}, payload)))
		reply := mustParse(t, f.ping(8))
		reply.Payload[0]++ // in ICMPv6 a reply, in ICMPv4 a router advertisement
		refuse("what is no request", reply)
		refuse("a packet that was not parsed", new(Packet))

		// A whole datagram out of fragments is as good as any.
		r := NewReassembler(testLimit)
		b := f.ping(60000)
		for _, x := range f.shred(b, 1, 1480) {
			if got, _ := give(t, r, 0, x); got != nil {
				if n, ok := PutEchoReply(dst, mustParse(t, got)); !ok || n != len(b) {
					t.Errorf("reassembled request of %d bytes: %d, %v", len(b), n, ok)
				}
			}
		}
	})
}
