package drill

import (
	"fmt"

	"tcpd/tcp"
)

// callKind is a call: how many arguments it has at least, and what it does to a socket.
type callKind struct {
	args int
	do   func(*run, *socket, *call) outcome // nil: handled by try
}

var calls = map[string]callKind{
	"socket": {args: 3}, "write": {args: 3}, "send": {args: 3}, "sendto": {args: 3},
	"writev": {args: 3}, "readv": {args: 3}, "sendmsg": {args: 3}, "recvmsg": {args: 3}, // flattened when they are read
	"bind":       {3, (*run).bind},
	"listen":     {2, (*run).listen},
	"accept":     {3, (*run).accept},
	"accept4":    {4, (*run).accept},
	"connect":    {3, (*run).connect},
	"read":       {3, (*run).read},
	"recv":       {3, (*run).read},
	"recvfrom":   {3, (*run).read},
	"shutdown":   {2, (*run).shutdown},
	"close":      {1, (*run).closeCall},
	"fcntl":      {2, (*run).fcntl},
	"setsockopt": {5, (*run).setsockopt},
	"getsockopt": {5, (*run).getsockopt},
	"ioctl":      {3, (*run).ioctl},
}

// pendingCall is a call that has not returned.
type pendingCall struct {
	event *event
	call  *call
	s     *socket
	end   tcp.Time
	done  int64 // bytes of a write
}

// invoke makes a call; one that blocks goes on while the script does.
func (r *run) invoke(c *call, e *event, end tcp.Time) {
	var s *socket
	if c.name != "socket" {
		fd, ok := c.args[0].integer()
		if s = r.sockets[fd]; !ok || s == nil {
			r.returned(c, refused("EBADF"))
			return
		}
	}
	r.pending = &pendingCall{event: e, call: c, s: s, end: end}
	r.retry()
	if p := r.pending; p != nil && !e.when.blocking {
		r.pending = nil
		r.mismatch("%s blocks; a line that expects this has a time like %s", c.name, "+0...0.1")
	}
}

// retry makes the call that blocks again; true: it has returned, which may let the table send.
func (r *run) retry() bool {
	p := r.pending
	if p == nil {
		return false
	}
	o := r.try(p)
	if o.partial {
		progress := o.number != p.done
		p.done = o.number
		return progress
	}
	if o.blocks {
		return false
	}
	r.pending = nil
	before := r.event
	r.event = p.event
	if t := r.script.options.tolerance; p.event.when.blocking && (r.now < p.end.Add(-t) || r.now > p.end.Add(t)) {
		r.mismatch("%s returned at %s, not at %s", p.call.name, clock(r.now), clock(p.end))
	}
	r.returned(p.call, o)
	r.event = before
	return true
}

func (r *run) try(p *pendingCall) outcome {
	switch p.call.name {
	case "socket":
		return r.socketCall(p.call)
	case "write", "send", "sendto":
		return r.write(p.s, p.call, p.done)
	case "connect":
		if p.s.conn != nil {
			return p.s.connecting()
		}
	}
	return calls[p.call.name].do(r, p.s, p.call)
}

// await lets time pass until the call that blocks has returned.
func (r *run) await() {
	p := r.pending
	if p == nil {
		return
	}
	r.advance(p.end.Add(r.script.options.tolerance))
	if r.pending == p {
		r.pending = nil
		before := r.event
		r.event = p.event
		r.mismatch("%s has not returned by %s", p.call.name, clock(p.end))
		r.event = before
	}
}

// returned compares what a call returned with what the line says.
func (r *run) returned(c *call, o outcome) {
	got := fmt.Sprint(o.number)
	if o.errno != "" {
		got += " " + o.errno
	}
	if c.result.any {
		return
	}
	want, ok := c.result.integer()
	wantErrno := c.errno
	if wantErrno == "EWOULDBLOCK" {
		wantErrno = "EAGAIN"
	}
	if !ok || want != o.number || o.errno != wantErrno && (wantErrno != "" || o.errno != "") {
		text := fmt.Sprint(want)
		if c.errno != "" {
			text += " " + c.errno
		}
		r.mismatch("%s: want %s, got %s", c.name, text, got)
	}
}
