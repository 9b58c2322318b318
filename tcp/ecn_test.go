package tcp

import (
	"testing"

	"tcpd/ip"
)

// openECN opens a connection whose peer has asked for ECN.
func (c *talk) openECN() {
	c.Helper()
	c.listen(ListenOptions{})
	o := peerOptions{mss: 1000, scale: 7, sack: true}
	c.send(seg{flags: SYN | ECE | CWR, opts: o.syn(0)})
	c.want("a SYN that asks for ECN is answered with ECE", seg{flags: SYN | ACK | ECE, ack: 1})
	c.advance(10 * Millisecond)
	c.send(seg{flags: ACK, seq: 1, ack: 1})
	c.conn = c.table.Accept(c.listener)
	c.settle()
}

// A super-packet that the kernel has merged has one mark: all of its segments were marked.
func TestECN_markedSuperPacket(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.openECN()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 4500, unit: 1000, tos: ce})
		c.want("a mark is echoed", seg{flags: ACK | ECE, seq: 1, ack: 4501})
		if i := c.table.Info(c.now, c.conn); i.MarksReceived != 5 {
			c.Errorf("%d marks, want those of 5 segments", i.MarksReceived)
		}
		c.send(seg{flags: ACK | CWR, seq: 4501, ack: 1, len: 4000, unit: 1000, tos: ect0})
		c.want("CWR of a super-packet ends the echo", seg{flags: ACK, seq: 1, ack: 8501})
	})
}

// What leaves as a super-packet has CWR on its first segment only, whoever cuts it (RFC 3168, section 6.1.2).
func TestECN_superPacketWithCWR(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.openECN()
		c.conn.ecn.cwr = true
		if n, err := c.table.Write(c.now, c.conn, make([]byte, 5000)); n != 5000 || err != nil {
			c.Fatalf("Write: %d, %v", n, err)
		}
		var out ip.Outgoing
		if !c.table.Poll(c.now, &out) || out.Offload.SegmentSize != 1000 {
			c.Fatalf("want a super-packet, got %+v", out.Offload)
		}
		var cut ip.Segmenter
		var flags []Flags
		cut.Split(&out, func(o *ip.Outgoing) error {
			flags = append(flags, Flags(o.Header[o.NetworkLen+13]))
			if tos := trafficClass(o.Header); tos != ect0 {
				c.Errorf("segment %d has traffic class %d, want ECT(0)", len(flags), tos)
			}
			return nil
		})
		want := []Flags{ACK | CWR, ACK, ACK, ACK, ACK | PSH}
		for i := range want {
			if len(flags) != len(want) || flags[i] != want[i] {
				c.Fatalf("flags %v, want %v", flags, want)
			}
		}
		c.send(seg{flags: ACK, seq: 1, ack: 5001})
	})
}

func trafficClass(header []byte) uint8 {
	if header[0]>>4 == 4 {
		return header[1]
	}
	return header[0]<<4 | header[1]>>4
}

// Who echoes marks for ever gets a segment for each time-out, later and later, and nobody else is concerned (attack class E16).
func TestAttack_E16_echoForEver(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.openECN()
		c.write(1, 60000)
		var gaps []Duration
		for round := 0; len(gaps) < 6; round++ {
			if round > 30 {
				c.Fatalf("after 30 marked windows the window is %d bytes, waits: %v", c.conn.cc.cwnd, gaps)
			}
			c.discard()
			c.advance(10 * Millisecond)
			c.send(seg{flags: ACK | ECE, seq: 1, ack: c.conn.snd.nxt.Sub(c.conn.snd.iss)})
			if len(c.inbox) == 0 {
				gaps = append(gaps, c.advanceToTimer())
				c.settle()
			}
		}
		for i, g := range gaps[1:] {
			if g < gaps[i]*3/2 {
				c.Fatalf("a window of one segment that is marked waits %v: want each wait longer than the one before", gaps)
			}
		}
		c.discard()
	})
}

// A recovery that turns out to have been for nothing is not taken back where a mark came meanwhile: neither the window nor what
// CUBIC has learnt of it.
func TestECN_undoKeepsWhatAMarkTaught(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.openECN()
		c.write(1, 10_000)
		c.discard()
		c.advance(10 * Millisecond)
		for end := 2001; end <= 4001; end += 1000 {
			c.send(seg{flags: ACK, seq: 1, ack: 1, opts: c.sackOption(span{1001, Seq(end)})})
		}
		c.want("the lost segment", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.send(seg{flags: ACK | ECE, seq: 1, ack: 1, opts: c.sackOption(span{1001, 5001})})
		learnt, ssthresh := c.conn.cc.cubic, c.conn.cc.ssthresh
		c.advance(Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 4001})
		c.send(seg{flags: ACK, seq: 1, ack: 4001, opts: c.sackOption(span{1, 1001})})
		if i := c.table.Info(c.now, c.conn); i.Undone != 1 {
			c.Fatalf("%d recoveries were taken back, want this one", i.Undone)
		}
		if c.conn.cc.cubic != learnt || c.conn.cc.ssthresh != ssthresh {
			c.Errorf("CUBIC knows %+v, ssthresh %d; want %+v, %d", c.conn.cc.cubic, c.conn.cc.ssthresh, learnt, ssthresh)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		c.discard()
	})
}

// sackOption is one block of our stream, in numbers of a test.
func (c *talk) sackOption(x span) []byte {
	var w optionWriter
	w.sack([]span{{c.iss + x.start, c.iss + x.end}})
	return append([]byte{}, w.bytes()...)
}

// What a SYN has negotiated comes back from the timestamp of a cookie, and that never lies ahead of the clock.
func TestECN_cookieBits(t *testing.T) {
	for _, h := range []half{
		{}, {sack: true}, {ecn: true}, {hasScale: true}, {hasScale: true, scale: 14, sack: true, ecn: true}, {hasScale: true, scale: 7},
	} {
		for clock := uint32(1000); clock < 1300; clock++ {
			v := cookieTS(&h, clock)
			if v > clock || clock-v >= 2<<cookieTSBits {
				t.Fatalf("%+v at %d: timestamp %d", h, clock, v)
			}
			got := half{sack: v&cookieTSSACK != 0, ecn: v&cookieTSECN != 0}
			if v&cookieTSScale != cookieTSScale {
				got.hasScale, got.scale = true, uint8(v&cookieTSScale)
			}
			if got != h {
				t.Fatalf("%+v became %+v", h, got)
			}
		}
	}
}
