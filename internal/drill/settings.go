package drill

import (
	"fmt"
	"strconv"
	"strings"

	"tcpd/tcp"
)

// fact returns the value of a name in an assertion, and it as a text.
func (r *run) fact(s string) (int64, string) {
	var v int64
	if d, ok := dropOf(s); ok {
		v = int64(r.table.Counters().Drops[d])
	} else if s == reportsFact {
		v = r.reports
	} else if r.under == nil || r.under.conn == nil {
		r.mismatch("%s: there is no connection under test", s)
	} else {
		i := r.table.Info(r.now, r.under.conn)
		v = facts[s](&i)
	}
	return v, fmt.Sprintf("%s is %d", s, v)
}

// sysctl is a setting of Linux: set is what it means for a run.
type sysctl func(r *run, values []int64) error

func duration(at func(*tcp.Options) *tcp.Duration) sysctl {
	return func(r *run, v []int64) error {
		*at(&r.defaults) = tcp.Duration(v[0]) * tcp.Second
		return nil
	}
}

// fastOpen knows the roles: 1 for clients, 2 for servers. Linux' further bits do without cookies.
func fastOpen(r *run, v []int64) error {
	roles := [...]tcp.FastOpen{0, tcp.FastOpenClient, tcp.FastOpenServer, tcp.FastOpenClient | tcp.FastOpenServer}
	if v[0] < 0 || v[0] >= int64(len(roles)) {
		return fmt.Errorf("a table opens nothing without a cookie; want 0 to 3")
	}
	r.fastOpen = roles[v[0]]
	return nil
}

func mtuProbing(r *run, v []int64) error {
	choices := [...]tcp.MTUProbing{tcp.MTUProbingOff, tcp.MTUProbingBlackHole, tcp.MTUProbingOn}
	if v[0] < 0 || v[0] >= int64(len(choices)) {
		return fmt.Errorf("want 0 to 2")
	}
	r.defaults.MTUProbing = choices[v[0]]
	return nil
}

// fixed is a setting that a table has no choice of.
func fixed(want ...int64) sysctl {
	return func(_ *run, v []int64) error {
		for _, w := range want {
			if v[0] == w {
				return nil
			}
		}
		return fmt.Errorf("a table does not do this; it behaves like %v", want)
	}
}

// setECN maps Linux' numbers: do not, ask, agree.
func setECN(r *run, v []int64) error {
	modes := []tcp.ECN{tcp.ECNOff, tcp.ECNOn, tcp.ECNAccept}
	if v[0] < 0 || v[0] >= int64(len(modes)) {
		return fmt.Errorf("want 0, 1 or 2")
	}
	r.defaults.ECN = modes[v[0]]
	return nil
}

var sysctls = map[string]sysctl{
	"tcp_keepalive_time":   duration(func(o *tcp.Options) *tcp.Duration { return &o.KeepAlive.Idle }),
	"tcp_keepalive_intvl":  duration(func(o *tcp.Options) *tcp.Duration { return &o.KeepAlive.Interval }),
	"tcp_keepalive_probes": func(r *run, v []int64) error { r.defaults.KeepAlive.Count = int(v[0]); return nil },
	"tcp_rmem":             func(r *run, v []int64) error { r.defaults.ReceiveBuffer = int(v[len(v)-1]); return nil },
	"tcp_wmem":             func(r *run, v []int64) error { r.defaults.SendBuffer = int(v[len(v)-1]); return nil },
	"tcp_mtu_probing":      mtuProbing,
	"tcp_fastopen":         fastOpen,
	"tcp_max_syn_backlog":  func(r *run, v []int64) error { r.limits[1] = int(v[0]); return nil },
	"tcp_max_tw_buckets":   func(r *run, v []int64) error { r.limits[2] = int(v[0]); return nil },
	"tcp_ecn":              setECN,
	"tcp_ecn_fallback":     fixed(1),
	"tcp_window_scaling":   fixed(1), "tcp_sack": fixed(1), "tcp_timestamps": fixed(1, 2), "tcp_dsack": fixed(1),
	"tcp_syn_retries": fixed(7), "tcp_synack_retries": fixed(5), "tcp_fin_timeout": fixed(60), "tcp_tw_reuse": fixed(1, 2),
	"tcp_rfc1337": fixed(1), "tcp_abort_on_overflow": fixed(0), "tcp_no_metrics_save": fixed(1),
	"tcp_slow_start_after_idle": fixed(1), "tcp_moderate_rcvbuf": fixed(1), "tcp_invalid_ratelimit": fixed(500),
	"tcp_adv_win_scale": fixed(0, 1), "tcp_min_snd_mss": fixed(48), "tcp_autocorking": fixed(0), "ip_no_pmtu_disc": fixed(0),
	"tcp_orphan_retries": fixed(0, 8), "tcp_retrans_collapse": fixed(0), "tcp_base_mss": fixed(1024), "tcp_probe_threshold": fixed(8),
	"tcp_probe_interval": fixed(600),
	"tcp_retries2":       fixed(15), "tcp_syncookies": fixed(1), "tcp_frto": fixed(1, 2), "tcp_early_retrans": fixed(3),
	"tcp_recovery": fixed(1), "tcp_reordering": fixed(3),
}

const congestionSetting = "tcp_congestion_control"

// assignments takes sysctl -q name=value name="value ..." apart.
func assignments(text string) (list [][2]string, err error) {
	for line := range strings.FieldsFuncSeq(strings.ReplaceAll(text, "&&", "\n"), func(c rune) bool { return c == '\n' || c == ';' }) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		program, rest, _ := strings.Cut(line, " ")
		switch program[strings.LastIndexByte(program, '/')+1:] {
		case "sysctl":
		case "set_sysctls.py": // of packetdrill's own scripts: files below /proc/sys
			rest = strings.ReplaceAll(rest, "/proc/sys/net/ipv4/", "net.ipv4.")
		case "defaults.sh": // sets Linux' defaults
			continue
		default:
			return nil, fmt.Errorf("%q is not sysctl: this runner runs no shell", line)
		}
		for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
			if flag, after, _ := strings.Cut(rest, " "); strings.HasPrefix(flag, "-") {
				rest = after
				continue
			}
			name, after, ok := strings.Cut(rest, "=")
			if !ok {
				return nil, fmt.Errorf("%q sets nothing: want name=value", rest)
			}
			var v string
			if strings.HasPrefix(after, `"`) {
				v, rest, ok = strings.Cut(after[1:], `"`)
			} else {
				v, rest, _ = strings.Cut(after, " ")
			}
			if !ok {
				return nil, fmt.Errorf("%q has no closing quote", after)
			}
			list = append(list, [2]string{strings.TrimSpace(name), v})
		}
	}
	return list, nil
}

// checkCommand refuses what command could not do.
func (p *parser) checkCommand(t token) {
	list, err := assignments(t.text)
	if err != nil {
		p.stop(t, "%v", err)
	}
	for _, a := range list {
		short := a[0][strings.LastIndexByte(a[0], '.')+1:]
		if short == congestionSetting {
			if _, ok := algorithms[a[1]]; !ok {
				p.stop(t, "%s is not a congestion control of this stack", a[1])
			}
			continue
		}
		set, ok := sysctls[short]
		if !ok {
			p.stop(t, "the setting %s has no counterpart here", a[0])
		}
		v, err := numbers(a[1])
		if err == nil {
			err = set(&run{}, v)
		}
		if err != nil {
			p.stop(t, "%s=%s: %v", a[0], a[1], err)
		}
	}
}

func numbers(s string) (list []int64, err error) {
	for _, f := range strings.Fields(s) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", f)
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("want a value")
	}
	return list, nil
}

// command makes the settings of a line that checkCommand has passed. They hold for sockets to come.
func (r *run) command(c command) {
	list, _ := assignments(string(c))
	for _, a := range list {
		short := a[0][strings.LastIndexByte(a[0], '.')+1:]
		if short == congestionSetting {
			r.defaults.Congestion = algorithms[a[1]]
			continue
		}
		v, _ := numbers(a[1])
		if err := sysctls[short](r, v); err != nil {
			r.mismatch("%v", err)
		}
	}
	if r.table != nil {
		r.table.SetLimits(r.limits[0], r.limits[1], r.limits[2])
	}
}
