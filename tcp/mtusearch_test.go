package tcp

import (
	"fmt"
	"testing"

	"tcpd/ip"
)

// hole makes packets of more than mtu bytes vanish; segments of a super-packet count one by one, and are of one size.
func hole(mtu *int) func(int, *ip.Packet) bool {
	return func(_ int, p *ip.Packet) bool {
		n := len(p.Header) + len(p.Payload)
		if u := int(p.Offload.SegmentSize); u > 0 {
			n = len(p.Header) + int(p.Payload[12]>>4)*4 + u
		}
		return n > *mtu
	}
}

// carry sends n bytes from end 0 to end 1.
func (p *pair) carry(c, s *Conn, n int) {
	p.t.Helper()
	buf := make([]byte, 64<<10)
	for sent, got := 0, 0; got < n; {
		k, err := p.ends[0].Write(p.now, c, buf[:min(len(buf), n-sent)])
		if err != nil {
			p.t.Fatal(err)
		}
		sent += k
		moved := p.step()
		k, err = p.ends[1].Read(p.now, s, buf)
		if err != nil {
			p.t.Fatal(err)
		}
		if got += k; !moved && k == 0 {
			p.t.Fatalf("stuck at %d: %+v", got, p.ends[0].Info(p.now, c))
		}
	}
}

// wait lets time pass.
func (p *pair) wait(d Duration) {
	for end := p.now.Add(d); p.now < end; {
		if min(p.ends[0].Deadline(), p.ends[1].Deadline()) > end || !p.step() {
			p.now = end
			p.ends[0].Advance(end)
			p.ends[1].Advance(end)
		}
	}
}

func TestMTUSearch_blackHole(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		for _, congestion := range []Congestion{Cubic, BBR} {
			t.Run(fmt.Sprint(f.Local, congestion), func(t *testing.T) {
				p := newPair(t)
				p.options.Congestion = congestion
				mtu := 1400
				p.drop = hole(&mtu)
				c, s := p.open(f)
				client := p.ends[0]
				p.carry(c, s, 8<<20)
				i := client.Info(p.now, c)
				if i.PathMTU > mtu || i.PathMTU < mtu-searchThreshold {
					t.Errorf("the path carries %d, found out: %d", mtu, i.PathMTU)
				}
				n := client.Counters()
				if n.BlackHoles != 1 || n.MTUProbesLost == 0 {
					t.Errorf("%d black holes, %d probes lost", n.BlackHoles, n.MTUProbesLost)
				}
				if n.Recoveries != 0 || n.Timeouts != blackHoleRetries+1 {
					t.Errorf("%d recoveries, %d time-outs; the loss of a probe is neither", n.Recoveries, n.Timeouts)
				}

				p.ends[1].Unlisten(p.now, s.listener)
				f2 := f
				f2.RemotePort++
				c2, s2 := p.open(f2)
				p.carry(c2, s2, 1<<20)
				if m := client.Counters(); m.Timeouts != n.Timeouts || m.BlackHoles != 1 {
					t.Errorf("the next connection falls into the hole again: %+v", m)
				}

				p.wait(searchAgain)
				mtu = 1500
				p.carry(c, s, 8<<20)
				if i := client.Info(p.now, c); i.PathMTU != 1500 {
					t.Errorf("ten minutes later the path carries 1500, found out: %d", i.PathMTU)
				}
				client.Abort(p.now, c)
				client.Abort(p.now, c2)
				if free, made := len(client.searches.free), int(client.searches.next); free != made {
					t.Errorf("%d of %d searches were given back", free, made)
				}
			})
		}
	}
}

func TestMTUSearch_outage(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		p := newPair(t)
		mtu := 1500
		p.drop = hole(&mtu)
		c, s := p.open(f)
		p.carry(c, s, 1<<20)
		mtu = 0
		if _, err := p.ends[0].Write(p.now, c, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		p.wait(10 * Second)
		if p.ends[0].Counters().BlackHoles == 0 {
			t.Error("no black hole is suspected when nothing comes through")
		}
		mtu = 1500
		p.carry(c, s, 8<<20)
		if i := p.ends[0].Info(p.now, c); i.PathMTU != 1500 {
			t.Errorf("after an outage the path carries what it did, found out: %d", i.PathMTU)
		}
		if _, kept := p.ends[0].paths.mtu[f.Remote]; kept {
			t.Error("that it was narrow is not to be remembered")
		}
	}
}

// TestMTUSearch_linkNarrows: when the link becomes narrower than a probe under way, its arrival says nothing.
func TestMTUSearch_linkNarrows(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		t.Run(fmt.Sprint(f.Local), func(t *testing.T) {
			p := newPair(t)
			p.options.MTUProbing = MTUProbingOn
			c, s := p.open(f)
			client, buf := p.ends[0], make([]byte, 64<<10)
			for client.searchOf(c).size == 0 {
				if _, err := client.Write(p.now, c, buf); err != nil {
					t.Fatal(err)
				}
				if n, _ := p.ends[1].Read(p.now, s, buf); n == 0 && !p.step() {
					t.Fatal("no probe leaves")
				}
			}
			mtu := int(client.searchOf(c).size) - 1
			client.SetMTU(mtu)
			p.carry(c, s, 1<<20)
			if i := client.Info(p.now, c); i.PathMTU > mtu {
				t.Errorf("the link carries %d, the connection sends %d", mtu, i.PathMTU)
			}
		})
	}
}

// TestMTUSearch_lostWithoutSACK: the segment before a probe is lost, and the probe as well. The peer has no SACK, so the loss of
// the probe is found by a partial acknowledgement, and that of its data in small segments proves nothing.
func TestMTUSearch_lostWithoutSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1460, scale: 7, listen: ListenOptions{Options: Options{MTUProbing: MTUProbingOn}}})
		c.window = 2000
		c.write(1, 60000)
		mss := int(c.conn.snd.mss)
		c.advance(100 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: 1 + 2*mss})
		s := c.table.searchOf(c.conn)
		if s.size == 0 {
			c.Fatal("no probe left")
		}
		before, probe := c.conn.pathMTU, s.end.Sub(c.iss)-(int(s.size)-c.conn.headers())
		c.advance(100 * Millisecond)
		for range 5 {
			c.send(seg{flags: ACK, seq: 1, ack: probe - mss})
			c.advance(Millisecond)
		}
		for _, ack := range []int{probe, probe + mss, c.conn.snd.nxt.Sub(c.iss)} {
			c.advance(100 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: ack})
		}
		if i := c.table.Info(c.now, c.conn); i.Timeouts != 0 || i.Retransmits == 0 {
			c.Errorf("%d time-outs, %d retransmissions: the test is about a fast recovery", i.Timeouts, i.Retransmits)
		}
		if c.conn.pathMTU != before {
			c.Errorf("the path MTU is %d, %d before, and no packet of that size has arrived", c.conn.pathMTU, before)
		}
		c.discard()
	})
}

// TestMTUSearch_peerWithoutMSS: who names no MSS takes the default, also from a probe (RFC 9293, MUST-15).
func TestMTUSearch_peerWithoutMSS(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{scale: 7, sack: true, listen: ListenOptions{Options: Options{MTUProbing: MTUProbingOn}}})
		c.window = 2000
		c.write(1, 100_000)
		for i := range 12 {
			c.advance(100 * Millisecond)
			c.send(seg{flags: ACK, seq: 1, ack: 1 + 2*(i+1)*int(c.conn.snd.mss)})
		}
		for _, s := range c.inbox {
			if s.unit == 0 && s.len > c.conn.theirMSS() {
				c.Errorf("a segment of %d bytes", s.len)
			}
		}
		c.discard()
	})
}

// A segment before the probe is lost as well. That is congestion, and says nothing of sizes (RFC 4821,
// section 7.6.4).
func TestMTUSearch_lostWithOthers(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := peerOptions{mss: 1460, scale: 7, sack: true, listen: ListenOptions{Options: Options{MTUProbing: MTUProbingOn}}}
		c.accepted(o)
		c.conn.cc.set(60_000)
		c.write(1, 5000)
		c.advance(5 * Millisecond)
		c.write(5001, 50_000)
		s := c.table.searchOf(c.conn)
		high, end, nxt := s.high, s.end.Sub(c.iss), c.conn.snd.nxt.Sub(c.iss)
		if s.size == 0 {
			c.Fatalf("no probe: %+v", *s)
		}
		probe := end - (int(s.size) - c.conn.headers())
		c.discard()
		c.advance(10 * Millisecond)
		c.send(seg{flags: ACK, seq: 1, ack: probe - 536, sacks: []span{{Seq(end), Seq(nxt)}}})
		if s.high != high {
			c.Errorf("at most %d bytes pass, it was %d", s.high, high)
		}
		c.discard()
	})
}
