package tcp

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"unsafe"

	"tcpd/ip"
)

// exchange is a whole life of a connection between two tables: both ends send, read, close. Refusals of memory may slow it
// down, but not change a byte.
type exchange struct {
	*pair
	conns [2]*Conn
	data  [2][]byte
	sent  [2]int
	got   [2][]byte
	eof   [2]bool
}

func newExchange(p *pair, n int) *exchange {
	x := &exchange{pair: p}
	for i := range x.data {
		x.data[i] = pattern(i*1000, n)
	}
	return x
}

// turn lets both applications do what they can.
func (x *exchange) turn() {
	buf := make([]byte, 5000)
	for i, e := range x.ends {
		c := x.conns[i]
		if c == nil || x.eof[i] && x.sent[i] > len(x.data[i]) {
			continue
		}
		if rest := len(x.data[i]) - x.sent[i]; rest >= 0 {
			n, err := e.Write(x.now, c, x.data[i][x.sent[i]:])
			if err != nil && err != ErrMemory {
				x.t.Fatalf("end %d: write: %v", i, err)
			}
			if x.sent[i] += n; n == rest {
				e.CloseWrite(x.now, c)
				x.sent[i]++
			}
		}
		n, err := e.Read(x.now, c, buf)
		x.got[i] = append(x.got[i], buf[:n]...)
		if err != nil && err != io.EOF {
			x.t.Fatalf("end %d: read: %v", i, err)
		}
		x.eof[i] = err == io.EOF
	}
}

// run runs the exchange until both ends have everything, closes, and waits for TIME-WAIT to pass.
func (x *exchange) run(f Flow) {
	x.t.Helper()
	l, err := x.ends[1].Listen(ip.Addr{}, f.RemotePort, ListenOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	for steps := 0; !x.eof[0] || !x.eof[1] || x.sent[0] <= len(x.data[0]) || x.sent[1] <= len(x.data[1]); steps++ {
		if steps > 20_000 {
			x.t.Fatalf("stuck: sent %v, received %d and %d", x.sent, len(x.got[0]), len(x.got[1]))
		}
		if x.conns[0] == nil {
			x.conns[0], err = x.ends[0].Connect(x.now, f, Options{})
			if err != nil && err != ErrMemory {
				x.t.Fatal(err)
			}
		}
		if x.conns[1] == nil {
			x.conns[1] = x.ends[1].Accept(l)
		}
		x.turn()
		x.step()
	}
	for i, e := range x.ends {
		if !bytes.Equal(x.got[i], x.data[1-i]) {
			x.t.Errorf("end %d received other bytes than were sent", i)
		}
		e.Close(x.now, x.conns[i])
	}
	for x.step() {
	}
}

func TestMemory_refusedAtEveryPoint(t *testing.T) {
	for i, f := range []Flow{flow4, flow6} {
		for refusals := 1; refusals <= 5; refusals += 4 {
			for end := range 2 {
				k := 1
				for ; ; k++ {
					m := [2]*budget{{}, {}}
					m[end].refuseAt, m[end].refuseCount = k, refusals
					p := newPair(t)
					for j := range p.ends {
						p.ends[j] = NewTable(Config{Secret: [16]byte{byte(j + 1)}, Memory: m[j]})
					}
					// Disorder, so that bytes are kept beyond holes as well.
					n := 0
					p.drop = func(int, *ip.Packet) bool { n++; return n%7 == 5 }
					newExchange(p, 60_000).run(f)
					for j := range m {
						if m[j].used != 0 || p.ends[j].Charged() != 0 {
							t.Fatalf("family %d, refusal %d of end %d: %d bytes of the budget of end %d are lost", i, k, end, m[j].used, j)
						}
					}
					if m[end].refusals == 0 {
						break
					}
				}
				if k < 10 {
					t.Errorf("only %d charges were refused", k)
				}
			}
		}
	}
}

// A peer that acknowledges every other segment makes the list of what is under way long. The budget knows, and has it back.
func TestMemory_longListsAreCharged(t *testing.T) {
	for _, end := range []string{"all is acknowledged", "reset"} {
		converse(t, Config{}, func(c *talk) {
			c.accepted(modern)
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: 65535})
			c.conn.cc.set(1 << 20)
			const n = 400_000
			c.write(1, n)
			c.settle()
			c.discard()
			short, mss := c.memory.used, int(c.conn.snd.mss)
			for at := 1 + mss; at+mss < c.conn.snd.nxt.Sub(c.iss); at += 2 * mss {
				c.send(seg{flags: ACK, seq: 1, ack: 1, win: 65535, sacks: []span{{Seq(at), Seq(at + mss)}}})
			}
			records := int(c.conn.flight.n)
			if least := records * int(unsafe.Sizeof(sent{})); records <= keptRecords || c.memory.used-short < least {
				c.Errorf("%d bytes more are charged for %d records, want %d", c.memory.used-short, records, least)
			}
			if end == "reset" {
				c.send(seg{flags: RST, seq: 1})
				c.close()
			} else {
				for !c.conn.flight.empty() {
					c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss)})
					c.settle()
				}
				c.table.Abort(c.now, c.conn)
			}
			c.wantGone()
			if c.memory.used != 0 {
				c.Errorf("%s: %d bytes are still charged", end, c.memory.used)
			}
		})
	}
}

// What is not kept is not acknowledged.
func TestMemory_noAckForWhatIsNotKept(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(modern)
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 100})
		room := pageSize - int((c.peerISS+1)&(pageSize-1))
		if room < 100 {
			room += pageSize
		}
		c.memory.refuseFrom = 1
		c.wantDrop("the page is full and there is no other", c.send(seg{flags: ACK, seq: 101, ack: 1, len: 2 * pageSize, unit: 1000}), DropMemory)
		s := c.inbox[len(c.inbox)-1]
		if kept := int(c.conn.rcv.buf.len); s.ack != 1+kept || kept != room {
			c.Errorf("%d bytes acknowledged, %d kept, room for %d", s.ack-1, kept, room)
		}
		c.discard()
		c.wantDrop("nor for bytes further on", c.send(seg{flags: ACK, seq: 20_001, ack: 1, len: 100}), DropMemory)
		if s := c.inbox[0]; len(s.sacks) != 0 {
			c.Errorf("%v was sacked and thrown away", s.sacks)
		}
		c.memory.refuseFrom = 0
		c.discard()
		c.send(seg{flags: ACK, seq: 1 + room, ack: 1, len: 1000})
		c.wantRead("all of it", 1, room+1000)
	})
}

func TestMemory_write(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.memory.refuseFrom = 1
		if n, err := c.table.Write(c.now, c.conn, []byte("x")); n != 0 || err != ErrMemory {
			c.Errorf("%d, %v: nothing is under way that could make room, and no event would follow", n, err)
		}
		c.memory.refuseFrom = c.memory.charges + 3 // the record of what is under way, a page, and no more
		n, err := c.table.Write(c.now, c.conn, pattern(0, 20_000))
		if n == 0 || n > pageSize || err != nil {
			c.Errorf("one page: %d, %v", n, err)
		}
		c.settle()
		c.memory.refuseFrom = 0
		c.events = nil
		c.send(seg{flags: ACK, seq: 1, ack: 1 + n})
		c.wantEvent("room again", EventWritable)
	})
}

func TestMemory_handshake(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.memory.refuseFrom = 1
		c.wantDrop("no memory for the record", c.send(seg{flags: SYN, opts: plain.syn(0)}), DropMemory)
		c.wantIdle("no answer: the peer tries again")
		c.memory.refuseFrom = 0
		c.send(seg{flags: SYN, opts: plain.syn(0)})
		c.want("now there is", seg{flags: SYN | ACK, ack: 1})
		c.memory.refuseFrom = 1
		c.wantDrop("no memory for the connection", c.send(seg{flags: ACK, seq: 1, ack: 1, len: 5}), DropMemory)
		c.wantIdle("nothing is acknowledged")
		c.memory.refuseFrom = 0
		c.send(seg{flags: ACK, seq: 1, ack: 1, len: 5})
		c.conn = c.table.Accept(c.listener)
		c.wantRead("nothing is lost", 1, 5)
	})
}

// A record that is used again has nothing to do with the events of the connection it was.
func TestEvents_areOfTheConnectionTheyName(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		old := c.conn
		c.arrive(seg{flags: ACK, seq: 1, ack: 1, len: 10})
		c.table.Abort(c.now, c.conn)
		c.flow.RemotePort++
		c.knowISS = false
		c.connect(Options{})
		if c.conn != old {
			c.Fatal("the record was not used again: " + fmt.Sprint(c.conn.slot))
		}
		c.wantNoEvents("the new connection has no news")
	})
}
