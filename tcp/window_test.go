package tcp

import "testing"

func TestWindow_zeroAndProbes(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed, len: 1})
		c.write(1, 5000)
		c.advance(delayedAck + Millisecond)
		last := Duration(0)
		for range 8 {
			c.discard()
			d := c.advanceToTimer()
			c.want("a closed window is probed (RFC 9293, section 3.8.6.1)", seg{flags: ACK, seq: 0, ack: 2})
			if d < last || d > maxRTO+Second {
				c.Errorf("probe after %d ms, the one before after %d ms", d/Millisecond, last/Millisecond)
			}
			last = d
			c.send(seg{flags: ACK, seq: 2, ack: 1, win: closed})
			c.wantIdle("still closed")
		}
		c.send(seg{flags: ACK, seq: 2, ack: 1, win: 3000})
		c.want("the window opens", seg{flags: ACK | PSH, seq: 1, ack: 2, len: 3000})
		c.send(seg{flags: ACK, seq: 2, ack: 3001, win: 3000})
		c.want("and goes on", seg{flags: ACK | PSH, seq: 3001, ack: 2, len: 2000})
	})
}

func TestAttack_E10_zeroWindowForEver(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
		c.write(1, 5000)
		for range 100 {
			c.advanceToTimer()
			c.discard()
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
		}
		c.wantState("a peer that answers may keep its window closed", Established)
		c.close()
		for range 20 {
			if c.table.Len().Connections == 0 {
				break
			}
			c.advance(2 * Minute)
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
			c.discard()
		}
		c.wantGone()
	})
}

func TestWindow_probesThatNobodyAnswersEnd(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1000, scale: -1, listen: ListenOptions{Options: Options{UserTimeout: 30 * Second}}})
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
		c.write(1, 5000)
		c.advance(2 * Minute)
		if c.conn.Err() != ErrTimeout {
			c.Errorf("want a time-out, got %v", c.conn.Err())
		}
		c.close()
		c.wantGone()
	})
}

func TestAttack_E11_windowShrinks(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 6000)
		c.want("six segments", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 6000})
		c.send(seg{flags: ACK, seq: 1, ack: 1001, win: closed})
		c.write(6001, 1000)
		c.wantIdle("nothing new beyond a window that shrank (SHLD-15)")
		for range 40 {
			c.advanceToTimer()
			c.want("what was sent is sent again (SHLD-16, MAY-7)", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
			c.send(seg{flags: ACK, seq: 1, ack: 1001, win: closed})
		}
		c.wantState("a peer that answers is not given up (SHLD-17)", Established)
		c.send(seg{flags: ACK, seq: 1, ack: 2001, win: 8000})
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 6001, win: 8000})
		c.advance(Second)
		if i := c.table.Info(c.now, c.conn); i.Unsent != 0 {
			c.Errorf("%d bytes left", i.Unsent)
		}
	})
}

func TestAttack_E09_sillyWindowOfThePeer(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 20_000)
		c.discard()
		sent := c.conn.snd.nxt.Sub(c.iss)
		c.send(seg{flags: ACK, seq: 1, ack: sent, win: 10})
		c.wantIdle("a window of 10 bytes is not worth a segment")
		d := c.advanceToTimer()
		c.want("until the override time-out (RFC 9293, section 3.8.6.2.1)", seg{flags: ACK | PSH, seq: sent, ack: 1, len: 10})
		if d < 100*Millisecond || d > 1100*Millisecond {
			c.Errorf("after %d ms", d/Millisecond)
		}
		before := c.table.Counters().SegmentsOut
		start := c.now
		for at := sent + 10; c.now.Sub(start) < 20*Second; at = c.conn.snd.nxt.Sub(c.iss) {
			c.send(seg{flags: ACK, seq: 1, ack: at, win: 1})
			c.advance(100 * Millisecond)
		}
		if n := c.table.Counters().SegmentsOut - before; n > 110 {
			c.Errorf("%d segments in 20 s to a peer that opens its window byte by byte", n)
		}
		c.send(seg{flags: ACK, seq: 1, ack: c.conn.snd.nxt.Sub(c.iss), win: closed})
		c.advance(Minute)
		c.discard()
		at := c.conn.snd.nxt.Sub(c.iss)
		c.send(seg{flags: ACK, seq: 1, ack: at, win: 400})
		if d := c.advanceToTimer(); d > Second+100*Millisecond {
			c.Errorf("a small window after a long closed one is used after %d ms", d/Millisecond)
		}
		c.want("small", seg{flags: ACK | PSH, seq: at, ack: 1, len: 400})
	})
}

func TestAttack_E09_sillyWindowOfOurs(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.ReceiveBuffer = 4000
		c.accepted(o)
		for i := range 4 {
			c.send(seg{flags: ACK, seq: 1 + 1000*i, ack: 1, len: 1000})
		}
		c.advance(delayedAck + Millisecond)
		if s := c.inbox[len(c.inbox)-1]; s.rawWin != 0 {
			c.Errorf("the buffer is full and the window %d", s.rawWin)
		}
		c.discard()
		for i := range 999 {
			c.wantRead("one byte", 1+i, 1)
		}
		c.wantIdle("the window does not open byte by byte (RFC 9293, section 3.8.6.2.2)")
		c.wantRead("one more", 1000, 1)
		c.want("a segment's worth", seg{flags: ACK, seq: 1, ack: 4001, win: 1000})
	})
}

// Reading in small pieces must not bring acknowledgements that tell nothing new: a peer without SACK takes three of them for a
// loss. Its segments may be large beside our buffer.
func TestWindow_updatesSayMore(t *testing.T) {
	for _, size := range []int{4000, 60_000, 83_260} {
		for _, n := range []int{1000, 20_000, 40_000} {
			converse(t, Config{MTU: 65535}, func(c *talk) {
				o := peerOptions{mss: 1000, scale: 7}
				o.listen.Options.ReceiveBuffer = size
				c.accepted(o)
				r := &c.conn.rcv
				for range min(size, 65535) / n {
					c.send(seg{flags: ACK, seq: r.nxt.Sub(c.peerISS), ack: 1, len: n})
				}
				c.send(seg{flags: ACK, seq: r.nxt.Sub(c.peerISS), ack: 1, len: r.adv.Sub(r.nxt)})
				c.advance(delayedAck + Millisecond)
				edge := r.adv
				c.discard()
				for b, _ := c.read(100); len(b) > 0; b, _ = c.read(100) {
					if len(c.inbox) > 0 && r.adv == edge {
						c.Fatalf("buffer %d, segments of %d: an acknowledgement that says what the one before said", size, n)
					}
					edge = r.adv
					c.discard()
				}
			})
		}
	}
}

// The right edge never moves left, with any scale: what was promised is kept.
func TestWindow_rightEdgeNeverRetreats(t *testing.T) {
	for _, size := range []int{3000, 65535, 65536, 1 << 20, 6 << 20, 200 << 20, 1 << 29} {
		converse(t, Config{Memory: &budget{}}, func(c *talk) {
			c.quiet = true
			o := modern
			o.listen.Options.ReceiveBuffer = size
			c.accepted(o)
			scale := c.conn.rcv.scale
			r := random(size)
			edge, nxt, read := 1+min(65535, size), 1, 1
			for range 1000 {
				if r.below(3) > 0 && edge > nxt {
					n := min(int(r.below(1400))+1, edge-nxt)
					c.send(seg{flags: ACK, seq: nxt, ack: 1, len: n})
					nxt += n
				} else {
					b, _ := c.read(int(r.below(9000)) + 1)
					read += len(b)
				}
				c.advance(Duration(r.below(20)) * Millisecond)
				for _, s := range c.inbox {
					e := s.ack + s.rawWin<<scale
					if e < edge {
						c.Fatalf("the edge moved from %d to %d", edge, e)
					}
					if e-read > size+size/8+1<<scale {
						c.Fatalf("window for %d bytes with a buffer of %d", e-read, size)
					}
					edge = e
				}
				c.discard()
			}
		})
	}
}

// Rounding the window up for each of many small segments must not keep it open for ever.
func TestWindow_roundingDoesNotOutgrowTheBuffer(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.quiet = true
		c.accepted(modern)
		c.conn.rcv.max = 65536 // with the scale of a larger one
		nxt := 1
		for ; nxt < 64_000; nxt += 1000 {
			c.send(seg{flags: ACK, seq: nxt, ack: 1, len: 1000})
		}
		for range 1000 {
			if n := c.conn.rcv.adv.Sub(c.conn.rcv.nxt); n > 0 {
				c.send(seg{flags: ACK, seq: nxt, ack: 1, len: min(20, n)})
				nxt += min(20, n)
			}
			c.advance(delayedAck + Millisecond)
		}
		if n := c.conn.rcv.buf.len; n > 75_000 || c.inbox[len(c.inbox)-1].rawWin != 0 {
			c.Errorf("%d bytes in a buffer of 65536, window %d", n, c.inbox[len(c.inbox)-1].rawWin)
		}
	})
}

// Two ends that send and do not read fill each other's windows; the acknowledgements then come in segments beyond a window
// that is closed. Unless they count, both wait for ever.
func TestWindow_ackBeyondAClosedWindowCounts(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.ReceiveBuffer = 4000
		c.accepted(o)
		c.write(1, 3000)
		for i := range 4 {
			c.send(seg{flags: ACK, seq: 1 + 1000*i, ack: 1, len: 1000})
		}
		c.discard()
		c.write(3001, 100)
		c.discard()
		d := c.send(seg{flags: ACK, seq: 4001, ack: 3101, win: 777, len: 1000})
		c.wantDrop("its data has no room", d, DropDuplicate)
		c.want("it is answered", seg{flags: ACK, seq: 3101, ack: 4001, win: closed})
		if i := c.table.Info(c.now, c.conn); i.Unacked != 0 || i.SndWnd != 777 {
			c.Errorf("its ACK and window were ignored: %d unacknowledged, window %d", i.Unacked, i.SndWnd)
		}
		c.wantDrop("without data nothing is wrong with it", c.send(seg{flags: ACK, seq: 4001, ack: 3101}), DropNone)
	})
}

func TestWindow_twoWayEchoDoesNotWedge(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		p := newPair(t)
		small := Options{ReceiveBuffer: 5000, SendBuffer: 1 << 20}
		p.options = small
		a, b := p.open(f)
		const total = 2 << 20
		sent, echoed, back := 0, 0, 0
		buf := make([]byte, 3000)
		var hold []byte
		for steps := 0; back < total; steps++ {
			if steps > 200_000 {
				t.Fatalf("wedged: %d sent, %d echoed, %d back", sent, echoed, back)
			}
			n, _ := p.ends[0].Write(p.now, a, make([]byte, min(total-sent, 1<<16)))
			sent += n
			if len(hold) == 0 {
				n, _ := p.ends[1].Read(p.now, b, buf)
				hold = append(hold, buf[:n]...)
			}
			n, _ = p.ends[1].Write(p.now, b, hold)
			hold = hold[n:]
			echoed += n
			n, _ = p.ends[0].Read(p.now, a, make([]byte, 1000))
			back += n
			p.step()
		}
	}
}

func TestNagle(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 10)
		c.want("the first small segment leaves", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10})
		c.write(11, 10)
		c.write(21, 10)
		c.wantIdle("the next wait for its acknowledgement")
		c.write(31, 1000)
		c.want("full segments leave", seg{flags: ACK, seq: 11, ack: 1, len: 1000})
		c.wantIdle("the small rest waits")
		c.send(seg{flags: ACK, seq: 1, ack: 11})
		c.want("it is acknowledged (Minshall: what is full does not matter)", seg{flags: ACK | PSH, seq: 1011, ack: 1, len: 20})
		c.write(1031, 5)
		c.wantIdle("and again")
		c.table.SetNoDelay(c.now, c.conn, true)
		c.settle()
		c.want("NoDelay lets it go", seg{flags: ACK | PSH, seq: 1031, ack: 1, len: 5})
		c.write(1036, 5)
		c.want("and what follows", seg{flags: ACK | PSH, seq: 1036, ack: 1, len: 5})
	})
}

func TestNagle_finGoesAtOnce(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 10)
		c.write(11, 10)
		c.discard()
		c.close()
		c.want("nothing follows that could join it", seg{flags: ACK | PSH | FIN, seq: 11, ack: 1, len: 10})
	})
}

func TestSend_congestionWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 60_000)
		s := c.want("the initial window is ten segments (RFC 6928)", seg{flags: ACK, seq: 1, ack: 1, len: 10_000})
		if s.unit != 1000 {
			c.Errorf("as one super-packet of segments of %d", s.unit)
		}
		c.wantIdle("then the window is full")
		c.send(seg{flags: ACK, seq: 1, ack: 2001})
		c.want("slow start sends two bytes for each that is acknowledged", seg{flags: ACK, seq: 10_001, ack: 1, len: 4000})
	})
}

func TestSend_pushAtTheEndOfWhatWasWritten(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 12_000)
		c.want("more follows: no PSH", seg{flags: ACK, seq: 1, ack: 1, len: 10_000})
		c.send(seg{flags: ACK, seq: 1, ack: 10_001})
		c.want("the end", seg{flags: ACK | PSH, seq: 10_001, ack: 1, len: 2000})
	})
}

// A retransmission that fills a hole acknowledges something new with an old sequence number. Its window counts: with the old
// one the right edge would lie beyond anything the peer has offered.
func TestWindow_ofAnOldSequenceNumber(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.send(seg{flags: ACK, seq: 101, ack: 1, len: 100, win: 1000})
		c.discard()
		c.write(1, 3000)
		c.want("what the window allows", seg{flags: ACK | PSH, seq: 1, len: 1000, ack: 1})
		c.send(seg{flags: ACK, seq: 1, ack: 1001, len: 100, win: closed})
		c.want("the window is closed now: nothing but the acknowledgement", seg{flags: ACK, seq: 1001, ack: 201})
		c.wantIdle("no room")
	})
}

// A peer that stands beyond a closed window still has its acknowledgements heard.
func TestWindow_ackFromBeyondAClosedWindow(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		o := plain
		o.listen.Options.ReceiveBuffer = 4000
		c.accepted(o)
		c.write(1, 3000)
		for i := range 4 {
			c.send(seg{flags: ACK, seq: 1 + 1000*i, ack: 1, len: 1000})
		}
		c.discard()
		c.wantDrop("it lies beyond the window", c.send(seg{flags: ACK, seq: 4025, ack: 3001}), DropSequence)
		if i := c.table.Info(c.now, c.conn); i.Unacked != 0 {
			c.Errorf("its ACK was ignored: %d unacknowledged", i.Unacked)
		}
		c.discard()
	})
}

// What has no data lies inside the window that the peer has left us, or it would not be believed, and nothing of the peer's would be
// acknowledged until data of ours is sent again.
func TestWindow_acknowledgementsStayInAWindowThatShrank(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(plain)
		c.write(1, 5000)
		c.discard()
		c.send(seg{flags: ACK, seq: 1, ack: 1, win: 1000}) // dropped for want of memory, and the window taken back
		c.discard()
		c.send(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 1000, win: 1000})
		c.want("an acknowledgement at the edge", seg{flags: ACK, seq: 1001, ack: 1001})
		c.send(seg{flags: ACK, seq: 1001, ack: 1, win: 3000})
		c.send(seg{flags: ACK | PSH, seq: 1001, ack: 1, len: 1000, win: 3000})
		c.want("it has moved", seg{flags: ACK, seq: 3001, ack: 2001})
		c.table.Abort(c.now, c.conn)
		c.settle()
		c.want("a reset too", seg{flags: RST | ACK, seq: 3001, ack: 2001})
	})
}

// A user timeout of a day has room for more than 256 time-outs.
func TestTimeout_countsNoFurther(t *testing.T) {
	for _, closes := range []bool{false, true} {
		converse(t, Config{}, func(c *talk) {
			c.quiet = true
			o := plain
			o.listen.Options.UserTimeout = Day
			if closes {
				c.accepted(o)
				c.send(seg{flags: ACK, seq: 1, ack: 1, win: closed})
				c.write(1, 100)
			} else {
				c.inFlight(o, 1)
			}
			for start := c.now; c.conn.Err() == nil && c.now.Sub(start) < 2*Day; c.discard() {
				c.advance(10 * Second)
			}
			if c.conn.Err() != ErrTimeout {
				c.Errorf("closed window %v: %v after two days", closes, c.conn.Err())
			}
		})
	}
}
