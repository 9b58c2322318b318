package stack

import "tcpd/tcp"

// Reports returns a channel that gets a value when Info tells something that no call would: urgent data of the peer
// (Info.Urgent), what the network says of a connection that goes on (Info.SoftError), time-outs that follow each other
// (Info.Retries). Who does not ask is not told (RFC 9293, section 3.9.1.8 and SHLD-20). The channel is not closed; Done tells
// of the end.
func (c *Conn) Reports() <-chan struct{} {
	sh := c.shard
	now := sh.lock()
	defer sh.leave(now)
	if ch, ok := sh.reports[c]; ok {
		return ch
	}
	ch := make(chan struct{}, 1)
	if c.core != nil {
		if sh.reports == nil {
			sh.reports = make(map[*Conn]chan struct{})
		}
		sh.reports[c] = ch
	}
	return ch
}

// report passes on that a connection's Info has news, to who has asked.
func (sh *shard) report(core *tcp.Conn, w *wakes) {
	if len(sh.reports) == 0 {
		return
	}
	if ch, ok := sh.reports[sh.holder(core)]; ok {
		w.add(ch)
	}
}
