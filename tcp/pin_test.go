package tcp

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"tcpd/ip"
)

func fill(dst [][]byte, b []byte) (n int) {
	for _, piece := range dst {
		n += copy(piece, b[n:])
	}
	return n
}

// TestPin_transfer: both applications hold what was lent to them over any number of events, some of it lost packets, and use
// parts of it only. The stream stays byte-exact.
func TestPin_transfer(t *testing.T) {
	for i, f := range []Flow{flow4, flow6} {
		for seed := range 20 {
			t.Run(fmt.Sprint(i, seed), func(t *testing.T) {
				p := newPair(t)
				r := random(uint64(seed))
				p.drop = func(int, *ip.Packet) bool { return r.below(20) == 0 }
				c, s := p.open(f)
				data := pattern(0, 300_000)
				var got []byte
				var room, view [][]byte
				for rest, end := data, false; !end; {
					if room == nil && len(rest) > 0 {
						room, _ = p.ends[0].Reserve(c, min(len(rest), 1+int(r.below(70_000))), nil)
					} else if room != nil && r.below(3) == 0 {
						n := int(r.below(int64(fill(room, rest)) + 1))
						if err := p.ends[0].Commit(c, n); err != nil {
							t.Fatal(err)
						}
						if rest, room = rest[n:], nil; len(rest) == 0 {
							p.ends[0].CloseWrite(p.now, c)
						}
					}
					if view == nil {
						var err error
						view, err = p.ends[1].Peek(s, 1+int(r.below(70_000)), nil)
						end = err == io.EOF
					} else if r.below(3) == 0 {
						b := bytes.Join(view, nil)
						b = b[:r.below(int64(len(b))+1)]
						got = append(got, b...)
						p.ends[1].Consume(p.now, s, len(b))
						view = nil
					}
					if !p.step() {
						p.now = p.now.Add(Millisecond)
					}
				}
				if !bytes.Equal(got, data) {
					t.Fatalf("%d bytes became %d others", len(data), len(got))
				}
				p.ends[1].Close(p.now, s)
				p.ends[0].Close(p.now, c)
				for p.step() {
				}
				for i, e := range p.ends {
					if e.Charged() != 0 {
						t.Errorf("end %d: %d bytes are still charged", i, e.Charged())
					}
				}
			})
		}
	}
}

// TestPin_theConnectionEndsMeanwhile: the bytes lent stay what they are, whatever ends the connection, and are given back with
// the last pin.
func TestPin_theConnectionEndsMeanwhile(t *testing.T) {
	ends := map[string]func(c *talk){
		"reset by the peer":              func(c *talk) { c.send(seg{flags: RST | ACK, seq: 3001, ack: 1}) },
		"abort":                          func(c *talk) { c.table.Abort(c.now, c.conn) },
		"close":                          func(c *talk) { c.table.Close(c.now, c.conn) },
		"reset by the peer, then closed": func(c *talk) { c.send(seg{flags: RST | ACK, seq: 3001, ack: 1}); c.table.Close(c.now, c.conn) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			converse(t, Config{}, func(c *talk) {
				c.accepted(plain)
				c.send(seg{flags: ACK, seq: 1, ack: 1, len: 3000})
				view, err := c.table.Peek(c.conn, 10_000, nil)
				if err != nil || !bytes.Equal(bytes.Join(view, nil), pattern(0, 3000)) {
					c.Fatalf("%d bytes, %v", len(bytes.Join(view, nil)), err)
				}
				room, err := c.table.Reserve(c.conn, 9000, nil)
				if n := fill(room, pattern(7, 9000)); n != 9000 || err != nil {
					c.Fatalf("room for %d, %v", n, err)
				}
				end(c)
				c.settle()
				c.scribble()
				if !bytes.Equal(bytes.Join(view, nil), pattern(0, 3000)) || !bytes.Equal(bytes.Join(room, nil), pattern(7, 9000)) {
					c.Error("somebody else got pages that were lent")
				}
				c.table.Consume(c.now, c.conn, 3000)
				c.check()
				if err := c.table.Commit(c.conn, 9000); err == nil {
					c.Error("no error: bytes that nobody will send were taken")
				}
				if c.check(); c.table.Charged() > c.table.waits.n*timeWaitSize+connSize {
					c.Errorf("%d bytes are still charged", c.table.Charged())
				}
			})
		})
	}
}

// TestPin_finMeanwhile: what is committed after FIN was queued is refused, and the stream ends before it.
func TestPin_finMeanwhile(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		if _, err := c.table.Reserve(c.conn, 100, nil); err != nil {
			c.Fatal(err)
		}
		c.closeWrite()
		c.want("FIN", seg{flags: ACK | FIN, seq: 1, ack: 1})
		c.send(seg{flags: ACK, seq: 1, ack: 2})
		if err := c.table.Commit(c.conn, 100); err != ErrClosed {
			c.Errorf("%v", err)
		}
		c.settle()
		c.wantIdle("nothing follows FIN")
		if got := c.conn.snd.buf.stored; got != 0 {
			c.Errorf("%d pages are kept for nothing", got)
		}
	})
}

// TestPin_acknowledgedMeanwhile: the room lent survives that everything before it is acknowledged.
func TestPin_acknowledgedMeanwhile(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 5000)
		c.want("data", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 5000})
		room, err := c.table.Reserve(c.conn, 4000, nil)
		if err != nil || fill(room, pattern(5000, 4000)) != 4000 {
			c.Fatal(err)
		}
		c.send(seg{flags: ACK, seq: 1, ack: 5001})
		c.scribble()
		if err := c.table.Commit(c.conn, 4000); err != nil {
			c.Fatal(err)
		}
		c.settle()
		c.want("what was filled in meanwhile", seg{flags: ACK | PSH, seq: 5001, ack: 1, len: 4000})
	})
}

// TestPoll_pagesStayUntilTheNext: a packet on its way to the link is not overwritten when its bytes are acknowledged by
// then, which a retransmission's may be.
func TestPoll_pagesStayUntilTheNext(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 5000)
		c.want("data", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 5000})
		c.now = c.now.Add(2 * Second)
		c.table.Advance(c.now)
		var out ip.Outgoing
		if !c.table.Poll(c.now, &out) {
			c.Fatal("no retransmission")
		}
		before, _ := flatten(&out)
		c.arrive(seg{flags: ACK, seq: 1, ack: 5001})
		c.scribble()
		if after, _ := flatten(&out); !bytes.Equal(before, after) {
			c.Error("the packet changed under the link's hands")
		}
		c.settle()
	})
}

// scribble takes pages from the pool, overwrites them, as another connection would, and gives them back.
func (c *talk) scribble() {
	var taken []page
	for range 20 {
		pg := c.table.pool.get()
		for i := range c.table.pool.bytes(pg) {
			c.table.pool.bytes(pg)[i] = 0xee
		}
		taken = append(taken, pg)
	}
	for _, pg := range taken {
		c.table.pool.put(pg)
	}
}
