package tcp

import (
	"fmt"
	"testing"

	"tcpd/ip"
)

func TestReceive_oneAckForABatch(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		for i := range 8 {
			c.arrive(seg{flags: ACK, seq: 1 + 1000*i, ack: 1, len: 1000})
		}
		c.settle()
		c.want("all that arrived before the poll", seg{flags: ACK, seq: 1, ack: 8001})
		c.wantIdle("one is enough")
		c.wantEvent("one wake-up", EventReadable)
		c.wantNoEvents("and not eight")
		c.wantRead("in order", 1, 8000)
	})
}

// interactive makes the session one in which our data answers the peer's: 10 bytes each way.
func (c *talk) interactive() {
	c.Helper()
	c.send(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10})
	c.want("the first data is acknowledged at once", seg{flags: ACK, seq: 1, ack: 11})
	c.write(1, 10)
	c.want("an answer", seg{flags: ACK | PSH, seq: 1, ack: 11, len: 10})
	c.send(seg{flags: ACK, seq: 11, ack: 11})
}

func TestReceive_delayedAck(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.interactive()
		c.send(seg{flags: ACK, seq: 11, ack: 11, len: 10})
		c.write(11, 10)
		c.want("an answer carries it", seg{flags: ACK | PSH, seq: 11, ack: 21, len: 10})
		c.send(seg{flags: ACK, seq: 21, ack: 21, len: 1000})
		c.send(seg{flags: ACK, seq: 1021, ack: 21, len: 1000})
		c.want("two full segments do not wait (RFC 5681, section 4.2)", seg{flags: ACK, seq: 21, ack: 2021})
		c.send(seg{flags: ACK, seq: 2021, ack: 21, len: 1000})
		c.wantIdle("one segment waits a little")
		if d := c.advanceToTimer(); d < delayedAck || d > delayedAck+Millisecond {
			c.Errorf("it waited %d ms", d/Millisecond)
		}
		c.want("then it is acknowledged", seg{flags: ACK, seq: 21, ack: 3021})
		c.advance(Second)
		c.wantIdle("nothing is left to acknowledge")
	})
}

func TestAttack_E12_firstByteWins(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 4, ack: 1, data: "DEF"})
		c.want("a hole is reported at once", seg{flags: ACK, seq: 1, ack: 1})
		c.send(seg{flags: ACK, seq: 2, ack: 1, data: "xxxxx"})
		c.send(seg{flags: ACK, seq: 1, ack: 1, data: "A"})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, data: "YYYYYYYYH"})
		if b, err := c.read(100); string(b) != "AxxDEFYYH" || err != nil {
			c.Errorf("read %q, %v", b, err)
		}
	})
}

// Whatever order, overlap and content segments come in, the stream has the bytes that came first.
func TestAttack_E12_reassemblyAgainstAModel(t *testing.T) {
	for seed := range 12 {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			c.accepted(modern)
			r := random(seed)
			const total = 20_000
			model := make([]int, total)
			for i := range model {
				model[i] = -1
			}
			got, at := 0, 0
			for rounds := 0; got < total; rounds++ {
				if rounds > 20_000 {
					t.Fatalf("seed %d: stuck at %d", seed, got)
				}
				at = got + int(r.below(6000))
				if r.below(4) == 0 {
					at = max(got-int(r.below(500)), 0)
				}
				n := min(int(r.below(1500))+1, total-at)
				if n <= 0 {
					continue
				}
				body := make([]byte, n)
				for i := range body {
					body[i] = byte(r.next())
					if k := at + i; k >= got && model[k] < 0 {
						model[k] = int(body[i])
					}
				}
				c.send(seg{flags: ACK, seq: 1 + at, ack: 1, data: string(body)})
				b, _ := c.read(70_000)
				for _, v := range b {
					if model[got] != int(v) {
						t.Fatalf("seed %d: byte %d is %d, the first that came was %d", seed, got, v, model[got])
					}
					got++
				}
				c.discard()
			}
			if c.conn.rcv.buf.stored != 0 {
				t.Errorf("seed %d: %d pages kept for nothing", seed, c.conn.rcv.buf.stored)
			}
		})
	}
}

func TestAttack_E06_rangesAreBounded(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		c.accepted(modern)
		for i := range 400 {
			want := DropNone
			if i >= maxRanges {
				want = DropRanges
			}
			c.wantDrop("a byte beside the last", c.send(seg{flags: ACK, seq: 3 + 2*i, ack: 1, len: 1}), want)
		}
		c.wantDrop("what joins two ranges has room", c.send(seg{flags: ACK, seq: 4, ack: 1, len: 1}), DropNone)
		c.wantDrop("now there is room for one more", c.send(seg{flags: ACK, seq: 3 + 2*300, ack: 1, len: 1}), DropNone)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 2})
		c.want("what was sacked is kept", seg{flags: ACK, seq: 1, ack: 6})
		for i := 6; i < 1000; i += 100 {
			c.send(seg{flags: ACK, seq: i, ack: 1, len: 100})
		}
		c.wantRead("all of it", 1, 900)
	})
}

func TestSACK_order(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		block := func(at int) span { return span{Seq(at), Seq(at + 100)} }
		for i, at := range []int{1001, 3001, 2001, 5001, 4001} {
			c.send(seg{flags: ACK, seq: at, ack: 1, len: 100})
			want := [][]span{
				{block(1001)},
				{block(3001), block(1001)},
				{block(2001), block(3001), block(1001)},
				{block(5001), block(2001), block(3001)},
				{block(4001), block(5001), block(2001)},
			}[i]
			c.want("the latest first, then those reported lately (RFC 2018, section 4)", seg{flags: ACK, seq: 1, ack: 1, sacks: want})
		}
		c.send(seg{flags: ACK, seq: 1101, ack: 1, len: 100})
		c.want("a block that grows is the latest", seg{flags: ACK, seq: 1, ack: 1, sacks: []span{{1001, 1201}, block(4001), block(5001)}})
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.want("a filled hole is no block", seg{flags: ACK, seq: 1, ack: 1201, sacks: []span{block(4001), block(5001), block(2001)}})
	})
}

func TestSACK_fourBlocksWithoutTimestamps(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1000, scale: -1, sack: true})
		for i := range 6 {
			c.send(seg{flags: ACK, seq: 1001 + 1000*i, ack: 1, len: 10})
		}
		if n := len(c.inbox[5].sacks); n != 4 {
			c.Errorf("%d blocks fit into 40 bytes of options", n)
		}
	})
}

func TestSACK_notWithoutPermission(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 1001, ack: 1, len: 10})
		if s := c.want("a duplicate ACK", seg{flags: ACK, seq: 1, ack: 1}); len(s.sacks) != 0 {
			c.Error("with SACK blocks that the peer did not permit")
		}
	})
}

func TestDSACK(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 200})
		c.advance(delayedAck + Millisecond)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 200})
		c.want("a duplicate is reported (RFC 2883, section 4.1)", seg{flags: ACK, seq: 1, ack: 201, sacks: []span{{1, 201}}})
		c.send(seg{flags: ACK, seq: 1001, ack: 1, len: 100})
		c.want("once", seg{flags: ACK, seq: 1, ack: 201, sacks: []span{{1001, 1101}}})
		c.send(seg{flags: ACK, seq: 1001, ack: 1, len: 100})
		c.want("out of order: the duplicate, then the block it lies in (4.2.2)", seg{flags: ACK, seq: 1, ack: 201, sacks: []span{{1001, 1101}, {1001, 1101}}})
		c.send(seg{flags: ACK, seq: 101, ack: 1, len: 200})
		c.want("the part that is old", seg{flags: ACK, seq: 1, ack: 301, sacks: []span{{101, 201}, {1001, 1101}}})
	})
}

func TestAttack_E13_PAWS(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		now := c.peerClock()
		stamp := func(at int, val uint32) seg {
			return seg{flags: ACK, seq: at, ack: 1, len: 10, ts: &[2]uint32{val, c.tsRecent}}
		}
		c.send(stamp(1, now+100))
		c.discard()
		c.wantDrop("an old timestamp (RFC 7323, section 5.3)", c.send(stamp(11, now+99)), DropPAWS)
		s := c.want("is answered", seg{flags: ACK, seq: 1, ack: 11})
		if s.parsed.tsEcr != now+100 {
			c.Errorf("echoes %d, not the last good one", s.parsed.tsEcr)
		}
		c.wantDrop("an equal one is not old", c.send(stamp(11, now+100)), DropNone)
		c.wantDrop("one from across the wrap is", c.send(stamp(21, now+100+1<<31)), DropPAWS)
		c.wantDrop("a missing one is accepted, as in Linux", c.send(seg{flags: ACK, seq: 21, ack: 1, len: 10, noTS: true}), DropNone)
		c.send(seg{flags: RST, seq: 31, ts: &[2]uint32{1, 0}})
		c.wantState("a RST counts whatever its timestamp", Closed)
		c.close()
	})
}

func TestPAWS_afterAMonth(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		old := seg{flags: ACK, seq: 1, ack: 1, len: 10, ts: &[2]uint32{c.peerClock() - 1000, 0}}
		c.wantDrop("too old", c.send(old), DropPAWS)
		c.discard()
		c.advance(25 * Day)
		c.wantDrop("TS.Recent is invalid after 24 days (RFC 7323, section 5.5)", c.send(old), DropNone)
		c.advance(Second)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10, ts: old.ts})
		if s := c.want("it took the new value", seg{flags: ACK, seq: 1, ack: 11}); s.parsed.tsEcr != old.ts[0] {
			c.Errorf("echoes %d, not %d", s.parsed.tsEcr, old.ts[0])
		}
	})
}

func TestAttack_H06_timestampIsNotPoisoned(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		high := &[2]uint32{c.peerClock() + 1<<30, 0}
		c.send(seg{flags: ACK, seq: 500, ack: 1, len: 10, ts: high})
		c.send(seg{flags: ACK, seq: 1, ack: 99999, len: 10, ts: high})
		c.wantDrop("neither data ahead nor a wrong ACK moves TS.Recent", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10}), DropNone)
	})
}

func TestAttack_E14_urgentIsInLine(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK | URG, seq: 1, ack: 1, len: 100})
		c.send(seg{flags: ACK | URG | PSH, seq: 101, ack: 1, len: 100})
		c.wantRead("urgent bytes in line", 1, 200)
	})
}

func TestReceive_beyondTheWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.wantDrop("beyond the window", c.send(seg{flags: ACK, seq: 65537 + 1, ack: 1, len: 10}), DropSequence)
		c.want("answered", seg{flags: ACK, seq: 1, ack: 1})
		c.wantDrop("long before it", c.send(seg{flags: ACK, seq: -50_000, ack: 1, len: 10}), DropDuplicate)
		c.want("answered", seg{flags: ACK, seq: 1, ack: 1})
		for i := range 65 {
			c.send(seg{flags: ACK, seq: 1 + 1000*i, ack: 1, len: 1000})
		}
		c.discard()
		c.wantDrop("across the edge", c.send(seg{flags: ACK, seq: 65_001, ack: 1, len: 1000}), DropPartial)
		c.want("as much as has room", seg{flags: ACK, seq: 1, ack: 65_536, win: closed})
		c.wantRead("all of it", 1, 65_535)
	})
}

func TestReceive_badChecksum(t *testing.T) {
	for i, f := range peerFlows {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := newPair(t)
			bad := 0
			p.drop = func(to int, pk *ip.Packet) bool {
				if pk.Offload.Checksum = 0; pk.TransportChecksumOK() {
					return false // the sum of the pseudo-header happens to be right
				}
				if d := p.ends[to].Arrive(p.now, pk); d != DropChecksum {
					t.Errorf("a packet without a checksum: %v", d)
				}
				bad++
				pk.Offload.Checksum = 1
				return false
			}
			p.open(Flow{Local: f.Remote, Remote: f.Local, RemotePort: 80})
			if bad == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

// Many segments of one range between two acknowledgements do not keep the other ranges from being reported.
func TestReceive_everyNewRangeIsReported(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		for _, at := range []int{2001, 4001, 6001, 7001, 8001, 9001, 10001} {
			c.arrive(seg{flags: ACK, seq: at, ack: 1, len: 1000})
		}
		c.settle()
		c.want("one acknowledgement for the batch, the latest range first", seg{
			flags: ACK, seq: 1, ack: 1, sacks: []span{{6001, 11001}, {4001, 5001}, {2001, 3001}},
		})
	})
}

// More ranges of one batch than fit into an acknowledgement are reported in as many as it takes: a sender that goes by time
// (RFC 8985) would send again what none of them names.
func TestReceive_moreNewRangesThanFit(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		block := func(k int) span { return span{Seq(2000*k + 1), Seq(2000*k + 1001)} }
		for k := 1; k <= 8; k++ {
			c.arrive(seg{flags: ACK, seq: 2000*k + 1, ack: 1, len: 1000})
		}
		c.settle()
		for _, blocks := range [][]span{{block(8), block(7), block(6)}, {block(5), block(4), block(3)}, {block(2), block(1), block(5)}} {
			c.want("the ranges that had no room before", seg{flags: ACK, seq: 1, ack: 1, sacks: blocks})
		}
		c.wantIdle("everything is reported")
		c.send(seg{flags: ACK, seq: 18001, ack: 1, len: 1000})
		c.want("one range more, one acknowledgement", seg{flags: ACK, seq: 1, ack: 1, sacks: []span{block(9), block(2), block(1)}})
		for k := 0; k <= 9; k++ {
			c.arrive(seg{flags: ACK, seq: 2000*k + 1001, ack: 1, len: 1000})
		}
		c.settle()
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 1000})
		c.want("no hole is left", seg{flags: ACK, seq: 1, ack: 20001})
		c.wantIdle("and nothing to report")
	})
}

// A hole keeps everything from the application. What comes beyond it lets the buffer grow all the same, or a sender whose window
// doubles meets the edge in each round trip in which something is lost; unless the application leaves unread what it could
// read, or each window that moves would hide a duplicate acknowledgement.
func TestReceive_bufferGrowsBeyondAHole(t *testing.T) {
	for _, x := range []struct {
		peer   peerOptions
		unread int
		grows  bool
	}{{modern, 0, true}, {modern, 20_000, false}, {plain, 0, false}} {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			c.accepted(x.peer)
			if x.unread > 0 {
				c.arrive(seg{flags: ACK, seq: 1, ack: 1, len: x.unread, unit: 1000})
			}
			nxt := 1 + x.unread + 1000
			for range 10 {
				nxt = c.fillWindow(nxt)
				c.settle()
				c.discard()
				c.advance(10 * Millisecond)
			}
			if i := c.table.Info(c.now, c.conn); (i.ReceiveBuf > 4*initialBuffer) != x.grows {
				c.Errorf("SACK %v, %d bytes unread: a buffer of %d", x.peer.sack, x.unread, i.ReceiveBuf)
			}
		})
	}
}
