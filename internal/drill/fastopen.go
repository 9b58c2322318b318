package drill

import "tcpd/tcp"

// openWith is a write that opens the connection: sendto with MSG_FASTOPEN, or the first write after TCP_FASTOPEN_CONNECT.
// goes: the data is to be written. Without a cookie the call only asks for one, unless it may wait.
func (r *run) openWith(s *socket, c *call) (o outcome, goes bool) {
	to := s.deferred
	if to == nil {
		if len(c.args) < 4 || !c.args[3].has("MSG_FASTOPEN") {
			return refused("ENOTCONN"), false
		}
		if r.fastOpen&tcp.FastOpenClient == 0 {
			return refused("EOPNOTSUPP"), false
		}
		s.options.FastOpen |= tcp.FastOpenClient
		to = &call{args: []value{c.args[0], {}}}
		if len(c.args) > 4 {
			to.args[1] = c.args[4]
		}
	}
	ready := r.table.FastOpenReady(r.now, addresses[r.family].remote)
	o = r.connect(s, to)
	if o.errno != "" && o.errno != "EINPROGRESS" || s.nonblock && !ready {
		return o, false
	}
	return o, true
}

// opensWith: a call that may block returns when the connection is open.
func (s *socket) opensWith(c *call) bool {
	return !s.nonblock && len(c.args) > 3 && c.args[3].has("MSG_FASTOPEN") && s.conn.State() == tcp.SynSent
}
