package tcp

import (
	"testing"

	"tcpd/ip"
)

// longestSent polls until nothing leaves, and returns the longest packet.
func (c *talk) longestSent() (n int) {
	c.Helper()
	var out ip.Outgoing
	for c.table.Poll(c.now, &out) {
		n = max(n, out.Len())
		if full := out.Len() - len(out.Header); full > int(c.conn.snd.mss) && out.Offload.SegmentSize != c.conn.snd.mss {
			c.Errorf("a super-packet of segments of %d bytes, want %d", out.Offload.SegmentSize, c.conn.snd.mss)
		}
	}
	return n
}

// fill writes until nothing more is taken.
func (c *talk) fill() {
	for b := make([]byte, 100_000); ; {
		if n, err := c.table.Write(c.now, c.conn, b); n == 0 || err != nil {
			return
		}
	}
}

// A link is asked how long super-packets may be when there is much to send, once; after a time-out they are as long as any link takes.
func TestLongest(t *testing.T) {
	for _, f := range peerFlows {
		for _, longest := range []int{100, 65535, 65536, 100_000, 262_144} {
			asked := 0
			c := newTalk(t, Config{Longest: func(peer ip.Addr) int {
				if peer != f.Remote {
					t.Errorf("asked for %v, the peer is %v", peer, f.Remote)
				}
				asked++
				return longest
			}}, f)
			c.accepted(modern)
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: 65535})
			c.table.Write(c.now, c.conn, make([]byte, 60_000))
			if n := c.longestSent(); asked != 0 || n > maxSuper {
				t.Errorf("asked %d times for little, and sent %d bytes", asked, n)
			}
			c.conn.cc.cwnd = 2 << 20
			c.fill()
			if n, least := c.longestSent(), max(longest, maxSuper)-int(c.conn.snd.mss)-ip.MaxHeaderLen-maxHeaderLen; n < least || n > max(longest, maxSuper) {
				t.Errorf("the link takes %d bytes, the longest packet has %d", longest, n)
			}
			c.fill()
			c.longestSent()
			if asked != 1 {
				t.Errorf("asked %d times, want once", asked)
			}
			for c.conn.stats.timeouts == 0 { // a loss probe comes first
				c.longestSent()
				c.now = c.now.Add(100 * Millisecond)
				c.table.Advance(c.now)
			}
			c.conn.cc.cwnd = 2 << 20
			if n := c.longestSent(); n < maxSuper/2 || n > maxSuper {
				t.Errorf("after a time-out the longest packet has %d bytes, want %d at most", n, maxSuper)
			}
		}
	}
}

// The recorder knows how long they are.
func TestLongest_recorded(t *testing.T) {
	c := newTalk(t, Config{Recorders: 1, Longest: func(ip.Addr) int { return 262_144 }}, peerFlows[0])
	c.accepted(modern)
	c.send(seg{flags: ACK, seq: 1, ack: 1, win: 65535})
	c.conn.cc.cwnd = 2 << 20
	c.fill()
	var out ip.Outgoing
	for c.table.Poll(c.now, &out) {
		want := out.Len() - len(out.Header)
		segments := c.record().Segments
		if got := segments[len(segments)-1]; got.Len != want || !got.Sent || got.Drop != DropNone {
			t.Errorf("sent %d bytes, recorded %+v", want, got)
		}
	}
}
