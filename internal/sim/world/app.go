package world

import (
	"bytes"
	"io"

	"tcpd/tcp"
)

// ending is how an application ends its side.
type ending uint8

const (
	endPolite ending = iota // CloseWrite after the last byte, read to EOF, Close
	endAfter                // read to EOF first, CloseWrite then, Close
	endHasty                // Close after the last byte, whatever is still to come
	endUnread               // Close after so many bytes read
	endAbort                // Abort after so many bytes moved
	endLinger               // as polite, but Close comes much later
	numEndings
)

func (e ending) String() string {
	return [...]string{"polite", "after", "hasty", "unread", "abort", "linger"}[e]
}

// waitsForPeer: the application ends only after the peer has.
func (e ending) waitsForPeer() bool { return e == endAfter }

// polite endings read everything the peer has to say.
func (e ending) polite() bool { return e == endPolite || e == endAfter || e == endLinger }

// appPlan is what the application at one side of a connection does.
type appPlan struct {
	send    int  // bytes of its stream
	echo    bool // what it reads is what it writes
	read    int  // bytes of one call
	write   int
	early   bool    // writes before the connection is established
	think   float64 // it pauses after a turn with this probability
	pause   tcp.Duration
	stallAt int // it stops once after so many bytes read
	stall   tcp.Duration
	end     ending
	cut     int          // bytes, for the endings that come early
	half    tcp.Duration // how long it may wait after EOF before it says CloseWrite
	lends   bool         // it copies outside of the table's calls
	corks   bool
	urgent  float64 // of its calls that write
}

func makeApps(d dice, total int) [2]appPlan {
	var a [2]appPlan
	split := pick(d, 0, 0.5, 1, d.Float64())
	sizes := [2]int{int(split * float64(total)), total - int(split*float64(total))}
	for i := range a {
		a[i] = appPlan{send: sizes[i], early: d.chance(0.3)}
	}
	if d.chance(0.3) { // echo
		a[0].send, a[1].send, a[1].echo = total/2, 0, true
	}
	for i := range a {
		p := &a[i]
		p.read, p.write = d.size(max(total/400, 1), 128<<10), d.size(max(total/400, 1), 128<<10)
		if d.chance(0.4) {
			p.think, p.pause = d.scale(0.002, 0.3), d.between(tcp.Microsecond, 200*tcp.Millisecond)
		}
		if d.chance(0.2) {
			p.stallAt, p.stall = d.size(1, total+1)-1, d.between(tcp.Millisecond, 3*tcp.Minute)
		}
		p.end = pick(d, endPolite, endPolite, endPolite, endAfter, endHasty, endUnread, endAbort, endLinger)
		p.cut = d.IntN(total + 2)
		if d.chance(0.3) {
			p.half = 100 * tcp.Second
		}
	}
	if a[1].echo {
		a[1].end = pick(d, endPolite, endAfter, endAfter, endAbort)
	}
	if a[0].end.waitsForPeer() && (a[1].end.waitsForPeer() || a[1].echo) {
		a[0].end = endPolite
	}
	return a
}

// app is an application with its side of a connection.
type app struct {
	w      *world
	index  int
	end    int // of the world
	pair   *pair
	side   int
	plan   appPlan
	conn   *tcp.Conn
	state  tcp.State // when it was last looked at
	key    uint64    // of the stream it writes
	expect uint64    // of the stream it reads
	sent   int
	got    int

	pausedTo  tcp.Time
	pauses    int
	scheduled bool
	stalled   bool

	fin      bool // it said CloseWrite
	eof      bool
	err      error
	over     bool // it gave the connection up
	abortive bool // the peer may see RST
	closing  bool // waits for the time to Close
	held     int  // bytes received and not read when it gave up
	dead     bool // the connection was over by then
	hungry   int  // refusals for want of memory in a row

	peeked, reserved loan
}

// clock is the time as the application knows it.
func (a *app) clock() tcp.Time { return a.w.ends[a.end].clock() }

// ready lets the application run soon.
func (a *app) ready(after tcp.Duration) {
	if a.scheduled || a.over {
		return
	}
	a.scheduled = true
	a.w.agenda.add(item{at: max(a.w.now.Add(after), a.pausedTo), kind: itemTurn, index: int32(a.index)})
}

// sleep lets the application rest, whatever happens meanwhile.
func (a *app) sleep(d tcp.Duration) {
	a.pausedTo = a.w.now.Add(d)
	a.ready(0)
}

// turn is one turn of the application: it does what it can, until it has to wait or takes a pause.
func (a *app) turn() {
	if a.over || a.conn == nil {
		a.settle()
		return
	}
	if a.w.now < a.pausedTo {
		a.ready(0)
		return
	}
	a.settle()
	if a.conn.State() == tcp.SynSent && !a.plan.early {
		return
	}
	a.change()
	for range 200 {
		moved := a.read()
		if a.over {
			return
		}
		if a.write() {
			moved = true
		}
		if a.finish() {
			return
		}
		if !moved {
			return
		}
		if a.pauses < 20 && a.w.dice.chance(a.plan.think) {
			a.pauses++
			a.pausedTo = a.w.now.Add(a.w.dice.upTo(a.plan.pause))
			break
		}
	}
	a.ready(0)
}

// change changes an option now and then.
func (a *app) change() {
	if a.plan.corks && a.w.more.chance(0.1) {
		a.table().SetCork(a.clock(), a.conn, a.w.more.chance(0.6))
	}
	if !a.w.dice.chance(0.02) {
		return
	}
	t := a.table()
	if a.w.dice.chance(0.5) {
		t.SetNoDelay(a.clock(), a.conn, a.w.dice.chance(0.5))
		return
	}
	t.SetKeepAlive(a.clock(), a.conn, tcp.KeepAlive{
		Enabled: a.w.dice.chance(0.7), Idle: a.w.dice.between(tcp.Second, tcp.Minute),
		Interval: a.w.dice.between(tcp.Second, tcp.Minute),
	})
}

// read reads once and reports whether that brought anything.
func (a *app) read() bool {
	if a.eof || a.err != nil || a.conn.State() == tcp.SynSent {
		return false
	}
	if a.plan.stall > 0 && !a.stalled && a.got >= a.plan.stallAt {
		a.stalled = true
		a.sleep(a.plan.stall)
		return false
	}
	if a.w.now < a.pausedTo || a.peeked.n > 0 {
		return false
	}
	n, err := a.fetch()
	switch {
	case err == io.EOF:
		a.eof = true
		a.w.note(a, "reads EOF after %d bytes", a.got)
		a.pair.checkEOF(a)
	case err != nil:
		a.failed(err)
	}
	return n > 0 || err != nil
}

func (a *app) fetch() (int, error) {
	if a.plan.lends {
		return a.peek()
	}
	b := a.w.scratch[:min(a.plan.read, len(a.w.scratch))]
	n, err := a.table().Read(a.clock(), a.conn, b)
	if n > 0 {
		a.take(b[:n])
	}
	return n, err
}

// take compares what was read with what the peer wrote.
func (a *app) take(b []byte) {
	want := content(a.expect, a.got, len(b))
	if !bytes.Equal(b, want) {
		at := 0
		for b[at] == want[at] {
			at++
		}
		a.w.failf("%v: byte %d of the stream is %#x, the peer wrote %#x", a, a.got+at, b[at], want[at])
	}
	a.received(len(b))
}

func (a *app) received(n int) {
	a.got += n
	a.pair.moved()
	if peer := a.pair.apps[1-a.side]; a.got > peer.sent {
		a.w.failf("%v: has read %d bytes, the peer wrote %d", a, a.got, peer.sent)
	}
	if a.w.trace != nil {
		a.w.note(a, "reads %d, now %d", n, a.got)
	}
}

// left returns how many bytes there are to write now.
func (a *app) left() int {
	if a.plan.echo {
		return a.got - a.sent
	}
	return a.plan.send - a.sent
}

// write writes once and reports whether bytes were taken.
func (a *app) write() bool {
	n := min(a.left(), a.plan.write, maxCall)
	if n <= 0 || a.fin || a.err != nil || a.w.now < a.pausedTo || a.reserved.n > 0 {
		return false
	}
	n, err := a.put(n)
	return a.wrote(n, err)
}

// put hands up to n bytes to the table.
func (a *app) put(n int) (int, error) {
	switch b := content(a.key, a.sent, n); {
	case a.plan.lends:
		return a.reserve(n)
	case a.plan.urgent > 0 && a.w.more.chance(a.plan.urgent):
		k, err := a.table().WriteUrgent(a.clock(), a.conn, b)
		a.sent += k
		return k, err
	default:
		k, err := a.table().Write(a.clock(), a.conn, b)
		a.sent += k
		return k, err
	}
}

// wrote takes the result of a call that writes, and reports whether anything came of it.
func (a *app) wrote(n int, err error) bool {
	switch {
	case err == tcp.ErrMemory:
		a.starved()
		return false
	case err != nil:
		a.refused(err)
		return a.err != nil
	}
	if n > 0 {
		a.hungry = 0
		a.pair.moved()
		if a.w.trace != nil {
			a.w.note(a, "writes %d, now %d", n, a.sent)
		}
	}
	return n > 0
}

// refused takes an error of a call that writes. What was received before can still be read, and reading tells the error in
// the end, unless it has come to EOF already.
func (a *app) refused(err error) {
	if a.conn.Err() != err {
		a.w.failf("%v: a call says %v, the connection %v", a, err, a.conn.Err())
	}
	if a.eof {
		a.failed(err)
	}
}

// starved: without memory the application waits a while, and gives up in the end.
func (a *app) starved() {
	if !a.w.ends[a.end].memory.scarce() {
		a.w.failf("%v: ErrMemory without a limit", a)
	}
	if a.hungry++; a.hungry > 50 {
		a.abort()
		return
	}
	a.sleep(100 * tcp.Millisecond)
}

// finish ends the side when its time has come, and reports whether it is over.
func (a *app) finish() bool {
	if a.over {
		return true
	}
	written := a.left() == 0 && (!a.plan.echo || a.eof)
	switch {
	case a.err != nil:
		a.close()
		return true
	case a.plan.end == endAbort && a.sent+a.got >= a.plan.cut:
		a.abort()
		return true
	case a.plan.end == endUnread && a.got >= a.plan.cut:
		a.close()
		return true
	case a.plan.end == endHasty && written:
		a.close()
		return true
	}
	if written && !a.fin && a.eof && a.plan.end == endAfter && a.plan.half > 0 {
		a.sleep(a.w.dice.upTo(a.plan.half))
		a.plan.half = 0
		return true
	}
	if written && !a.fin && (a.eof || !a.plan.end.waitsForPeer()) {
		a.closeWrite()
	}
	if a.err != nil {
		a.close()
		return true
	}
	if !a.fin || !a.eof {
		return false
	}
	if a.plan.end == endLinger && !a.closing {
		a.closing = true
		a.sleep(a.w.dice.upTo(100 * tcp.Second))
		return true
	}
	a.close()
	return true
}

func (a *app) closeWrite() {
	a.w.note(a, "says CloseWrite after %d bytes", a.sent)
	if err := a.table().CloseWrite(a.clock(), a.conn); err != nil {
		a.refused(err)
		return
	}
	a.fin = true
	a.pair.moved()
}

// close gives the connection up. It is abortive when anything may still come from the peer.
func (a *app) close() {
	t := a.table()
	a.leaves()
	a.w.note(a, "closes with %d bytes unread, error %v", a.held, a.err)
	a.abortive = a.abortive || !a.eof || a.err != nil
	if a.held == 0 && a.err == nil {
		a.fin = true
	}
	a.pair.checkAcked()
	t.Close(a.clock(), a.conn)
	a.gone()
}

func (a *app) abort() {
	t := a.table()
	a.leaves()
	a.w.note(a, "aborts with %d bytes unread", a.held)
	a.abortive = true
	a.pair.checkAcked()
	t.Abort(a.clock(), a.conn)
	a.gone()
}

// leaves notes what the application leaves behind.
func (a *app) leaves() {
	a.held = a.info().Unread
	s := a.conn.State()
	a.dead = s == tcp.Closed || s == tcp.TimeWait
}

func (a *app) gone() {
	if slot := a.conn.Slot(); a.w.ends[a.end].apps[slot] == a {
		a.w.ends[a.end].apps[slot] = nil
	}
	a.over = true
	a.pair.moved()
	if a.peeked.n+a.reserved.n > 0 && !a.scheduled {
		a.scheduled = true
		a.w.agenda.add(item{at: a.w.now.Add(a.w.more.upTo(20 * tcp.Millisecond)), kind: itemTurn, index: int32(a.index)})
	}
}

// failed takes the news that the connection has failed.
func (a *app) failed(err error) {
	a.err = err
	a.abortive = true
	a.w.note(a, "fails: %v", err)
	a.pair.moved()
	a.pair.checkError(a)
}
