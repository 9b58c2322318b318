package drill

import "tcpd/tcp"

func (r *run) fcntl(s *socket, c *call) outcome {
	switch {
	case c.args[1].has("F_GETFL"):
		n, _ := c.result.integer() // O_RDWR, or a word
		return outcome{number: n}
	case c.args[1].has("F_SETFL") && len(c.args) > 2:
		s.nonblock = c.args[2].has("O_NONBLOCK")
		return outcome{}
	}
	return refused("EINVAL")
}

// setsockopt sets what tables have; for a connection that exists where that can be.
func (r *run) setsockopt(s *socket, c *call) outcome {
	n, _ := c.args[3].integer()
	o := &s.options
	seconds := tcp.Duration(n) * tcp.Second
	switch c.args[2].word() {
	case "SO_REUSEADDR", "SO_REUSEPORT":
	case "TCP_NODELAY":
		o.NoDelay = n != 0
		if s.conn != nil {
			r.table.SetNoDelay(r.now, s.conn, o.NoDelay)
		}
	case "TCP_FASTOPEN":
		s.pending = int(n)
		o.FastOpen |= r.fastOpen & tcp.FastOpenServer
		if s.listening {
			r.table.SetListenOptions(s.listener, *o)
			r.table.SetFastOpenPending(s.listener, s.pending)
		}
	case "TCP_FASTOPEN_CONNECT":
		s.defers = n != 0
		o.FastOpen |= r.fastOpen & tcp.FastOpenClient
	case "TCP_CORK":
		if s.conn == nil {
			return refused("EOPNOTSUPP")
		}
		r.table.SetCork(r.now, s.conn, n != 0)
	case "SO_KEEPALIVE":
		o.KeepAlive.Enabled = n != 0
		r.keepAlive(s)
	case "TCP_KEEPIDLE":
		o.KeepAlive.Idle = seconds
		r.keepAlive(s)
	case "TCP_KEEPINTVL":
		o.KeepAlive.Interval = seconds
		r.keepAlive(s)
	case "TCP_KEEPCNT":
		o.KeepAlive.Count = int(n)
		r.keepAlive(s)
	case "TCP_USER_TIMEOUT":
		o.UserTimeout = tcp.Duration(n) * tcp.Millisecond
		if s.conn != nil {
			r.table.SetUserTimeout(r.now, s.conn, o.UserTimeout)
		}
	case "IP_TTL", "IPV6_UNICAST_HOPS":
		o.TTL = uint8(n)
		if s.conn != nil {
			r.table.SetTTL(r.now, s.conn, o.TTL)
		}
	case "IP_TOS", "IPV6_TCLASS":
		o.TrafficClass = uint8(n)
		if s.conn != nil {
			r.table.SetTrafficClass(r.now, s.conn, o.TrafficClass)
		}
	case "SO_LINGER":
		s.setLinger(c.args[3])
	default:
		return s.setBeforehand(c, n)
	}
	return outcome{}
}

func (r *run) keepAlive(s *socket) {
	if s.conn != nil {
		r.table.SetKeepAlive(r.now, s.conn, s.options.KeepAlive)
	}
}

func (s *socket) setLinger(v value) {
	on, _ := v.fields.get("onoff")
	s.linger = -1
	if on != 0 {
		s.linger, _ = v.fields.get("linger")
	}
}

// setBeforehand sets what a table takes only when a connection, or a listener, comes to be.
func (s *socket) setBeforehand(c *call, n int64) outcome {
	o := s.options
	switch c.args[2].word() {
	case "SO_RCVBUF":
		o.ReceiveBuffer = int(n)
	case "SO_SNDBUF":
		o.SendBuffer = int(n)
	case "TCP_CONGESTION":
		algorithm, ok := algorithms[c.args[3].text]
		if !ok {
			return refused("EINVAL")
		}
		o.Congestion = algorithm
	default:
		return refused("ENOPROTOOPT")
	}
	if s.conn != nil || s.listening {
		return refused("EOPNOTSUPP")
	}
	s.options = o
	return outcome{}
}

var algorithms = map[string]tcp.Congestion{"cubic": tcp.Cubic, "reno": tcp.Reno, "bbr": tcp.BBR}

// getsockopt knows SO_ERROR: why an attempt to connect, or a connection, failed.
func (r *run) getsockopt(s *socket, c *call) outcome {
	if !c.args[2].has("SO_ERROR") {
		return refused("ENOPROTOOPT")
	}
	want, got := "0", "0"
	if list := c.args[3].list; len(list) == 1 && list[0].number == 0 && len(list[0].words) == 1 {
		want = list[0].words[0]
	}
	if s.conn != nil && s.conn.Err() != nil && !s.reported {
		s.reported = true
		got = errno(s.conn.Err())
	}
	if want != got {
		r.mismatch("SO_ERROR: want %s, got %s", want, got)
	}
	return outcome{}
}

// ioctl knows how much waits to be read, and to be acknowledged.
func (r *run) ioctl(s *socket, c *call) outcome {
	if s.conn == nil {
		return refused("EINVAL")
	}
	i := r.table.Info(r.now, s.conn)
	var got int64
	switch c.args[1].word() {
	case "SIOCINQ", "FIONREAD":
		got = int64(i.Unread)
	case "SIOCOUTQ":
		got = int64(i.Unacked + i.Unsent)
	case "SIOCOUTQNSD":
		got = int64(i.Unsent)
	default:
		return refused("EINVAL")
	}
	if want, ok := c.args[2].integer(); !ok || want != got {
		r.mismatch("%s: want %d, got %d", c.args[1].word(), want, got)
	}
	return outcome{}
}

// assert evaluates assertions on the socket under test.
func (r *run) assert(list code) {
	for _, a := range list {
		var used []string
		ok := a.expr.eval(func(s string) int64 {
			v, text := r.fact(s)
			used = append(used, text)
			return v
		})
		if a.print {
			r.report.note(r.now, "%s: %v", a.text, used)
		} else if ok == 0 {
			r.mismatch("%s: %v", a.text, used)
		}
	}
}
