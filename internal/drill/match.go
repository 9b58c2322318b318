package drill

import (
	"fmt"
	"slices"
	"strings"

	"tcpd/tcp"
)

// expect waits for a packet that has to leave between start and end, and compares it.
func (r *run) expect(p *packet, e *event, start, end tcp.Time) {
	c, at := r.talkOf(p)
	tolerance := r.script.options.tolerance
	limit := end.Add(tolerance)
	if e.when.any {
		limit = r.now.Add(patience)
	}
	r.waitFor(at, limit)
	i := slices.IndexFunc(r.sent, func(s segment) bool { return s.ports == at })
	if !e.when.any && !e.when.ranged {
		r.base = start
	} else {
		r.base = r.now
	}
	r.report.script(r.now, e)
	if i < 0 {
		r.mismatch("nothing left until %s", clock(r.now))
		return
	}
	s := r.take(i, p.length)
	if e.when.any || e.when.ranged {
		r.base = s.at
	}
	diff := r.compare(p, c, &s)
	if early := start.Add(-tolerance); !e.when.any && (s.at < early || s.at > limit) {
		diff = append(diff, fmt.Sprintf("it left at %s, not %s", clock(s.at), window(start, end)))
	}
	if len(diff) > 0 {
		r.mismatch("%v: %s", &s, strings.Join(diff, "; "))
	}
}

func window(start, end tcp.Time) string {
	if start == end {
		return "at " + clock(start)
	}
	return "from " + clock(start) + " to " + clock(end)
}

// waitFor lets time pass until a packet of the conversation has left.
func (r *run) waitFor(at ports, limit tcp.Time) {
	for n := 0; !slices.ContainsFunc(r.sent, func(s segment) bool { return s.ports == at }); n++ {
		next := r.table.Deadline()
		if next > limit || n > maxDeadline {
			if limit.Sub(r.now) < patience {
				r.advance(limit)
			}
			return
		}
		r.tick(max(next, r.now))
	}
}

// take removes packet i from what was sent, together with those that continue it, up to a payload of n bytes: the line then
// stands for all of them.
func (r *run) take(i, n int) segment {
	s := r.sent[i]
	r.sent = slices.Delete(r.sent, i, i+1)
	for len(s.payload) > 0 && len(s.payload) < n && i < len(r.sent) {
		x := r.sent[i]
		if x.ports != s.ports || x.at != s.at || x.seq != s.seq+uint32(len(s.payload)) || len(s.payload)+len(x.payload) > n ||
			x.ack != s.ack || x.tos != s.tos || len(x.payload) == 0 {
			break
		}
		s.payload = append(s.payload, x.payload...)
		s.flags |= x.flags & (tcp.PSH | tcp.FIN)
		r.sent = slices.Delete(r.sent, i, i+1)
	}
	return s
}

// compare lists the differences between a line and a packet.
func (r *run) compare(p *packet, c *conversation, s *segment) (diff []string) {
	add := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	want, got := p.flags, s.flags
	if r.script.options.ignorePSH {
		want, got = want&^tcp.PSH, got&^tcp.PSH
	}
	if want != got {
		add("want flags %s, got %s", flagString(p.flags), flagString(s.flags))
	}
	if p.seq != s.seq || p.length != len(s.payload) {
		add("want %d:%d(%d), got %d:%d(%d)", p.seq, p.seq+uint32(p.length), p.length, s.seq, s.seq+uint32(len(s.payload)), len(s.payload))
	}
	if p.flags&s.flags&tcp.ACK != 0 && p.ack != s.ack {
		add("want ack %d, got %d", p.ack, s.ack)
	}
	if p.window >= 0 && p.window != s.window {
		add("want win %d, got %d", p.window, s.window)
	}
	if p.urgent >= 0 && p.urgent != s.urgent {
		add("want urg %d, got %d", p.urgent, s.urgent)
	}
	diff = append(diff, p.net.compare(s)...)
	if d := r.compareOptions(p, c, s); d != "" {
		diff = append(diff, d)
	}
	return diff
}

var ecnNames = [4]string{"noecn", "ect1", "ect0", "ce"}

func (n *network) compare(s *segment) (diff []string) {
	if got := s.tos & n.mask; got != n.tos&n.mask {
		if n.mask == 3 {
			diff = append(diff, fmt.Sprintf("want %s, got %s", ecnNames[n.tos], ecnNames[got]))
		} else {
			diff = append(diff, fmt.Sprintf("want tos %d, got %d", n.tos, got))
		}
	}
	if ecn := s.tos & 3; n.anyECT && ecn != 1 && ecn != 2 {
		diff = append(diff, "want ect0 or ect1, got "+ecnNames[ecn])
	}
	if n.ttl != 0 && n.ttl != s.ttl {
		diff = append(diff, fmt.Sprintf("want ttl %d, got %d", n.ttl, s.ttl))
	}
	return diff
}

// compareOptions compares without order and padding.
func (r *run) compareOptions(p *packet, c *conversation, s *segment) string {
	if p.anyOptions {
		return ""
	}
	var want []option
	for _, o := range p.options {
		if o.kind != optNop && o.kind != optEnd {
			want = append(want, o)
		}
	}
	left := slices.Clone(s.options)
	for _, w := range want {
		i := slices.IndexFunc(left, func(g option) bool { return r.same(w, g, c) })
		if i < 0 {
			return fmt.Sprintf("want options <%s>, got <%s>", optionsString(want), r.readable(s.options, c))
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return fmt.Sprintf("want options <%s>, got <%s>", optionsString(want), r.readable(s.options, c))
	}
	return ""
}

// same compares an option; the first timestamp of ours that a line names says what ours is in the script's clock.
func (r *run) same(w, g option, c *conversation) bool {
	if w.kind != g.kind {
		return false
	}
	if w.cookie {
		r.cookie = slices.Clone(g.raw)
		return len(g.raw) > 0
	}
	if w.kind != optTimestamps {
		return w.value == g.value && slices.Equal(w.blocks, g.blocks) && slices.Equal(w.raw, g.raw)
	}
	if !c.first {
		c.first, c.offset = true, g.val-w.val
	}
	c.stamps[w.val] = g.val
	if w.ecr != g.ecr {
		return false
	}
	tick := r.script.options.tick
	if tick == 0 {
		return true
	}
	late := int64(int32(g.val - c.offset - w.val))
	slack := int64(r.script.options.tolerance/tick) + 1
	return late >= -slack && late <= slack
}

// readable has timestamps in the script's clock.
func (r *run) readable(list []option, c *conversation) string {
	list = slices.Clone(list)
	for i := range list {
		if list[i].kind == optTimestamps && c.first {
			list[i].val -= c.offset
		}
	}
	return optionsString(list)
}
