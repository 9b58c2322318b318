package drill

import (
	"strconv"
	"strings"

	"tcpd/tcp"
)

// parser reads tokens; the first mistake ends it by a panic that Parse turns into the error.
type parser struct {
	lexer
	list []token
	i    int
	s    *Script
}

// syntax carries a *SyntaxError to Parse.
type syntax struct{ error }

// Parse reads a script. The error is a *SyntaxError.
func Parse(name, source string) (s *Script, err error) {
	p := parser{lexer: lexer{name: name, source: source}, s: &Script{Name: name}}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(syntax)
			if !ok {
				panic(r)
			}
			s, err = nil, e.error
		}
	}()
	if p.list, err = p.tokens(); err != nil {
		return nil, err
	}
	p.script()
	return p.s, nil
}

func (p *parser) peek() token { return p.list[p.i] }

func (p *parser) ahead(n int) token { return p.list[min(p.i+n, len(p.list)-1)] }

func (p *parser) take() token {
	t := p.list[p.i]
	if t.kind != tokenEnd {
		p.i++
	}
	return t
}

func (p *parser) stop(t token, format string, args ...any) {
	panic(syntax{p.fail(t.start, format, args...)})
}

// is reports whether the next token is this word or character.
func (p *parser) is(text string) bool {
	t := p.peek()
	return t.text == text && (t.kind == tokenPunct || t.kind == tokenWord || t.kind == tokenEllipsis)
}

// accept takes the next token if it is this word or character.
func (p *parser) accept(text string) bool {
	if p.is(text) {
		p.i++
		return true
	}
	return false
}

func (p *parser) expect(text, where string) {
	if !p.accept(text) {
		p.stop(p.peek(), "%s: want %q, got %v", where, text, p.peek())
	}
}

// integer takes a number from low to high.
func (p *parser) integer(what string, low, high int64) int64 {
	t := p.take()
	var n int64
	var err error
	switch t.kind {
	case tokenInteger:
		n, err = strconv.ParseInt(t.text, 10, 64)
	case tokenHex:
		n, err = strconv.ParseInt(t.text[2:], 16, 64)
	default:
		p.stop(t, "%s: want a number, got %v", what, t)
	}
	if err != nil || n < low || n > high {
		p.stop(t, "%s: %s is not between %d and %d", what, t.text, low, high)
	}
	return n
}

func (p *parser) script() {
	p.s.options = settings{tolerance: 4 * tcp.Millisecond, mtu: 1500, port: 8080, remotePort: 8080}
	for p.peek().kind == tokenOption {
		p.option()
	}
	for p.peek().kind == tokenCommand {
		t := p.take()
		p.checkCommand(t)
		p.s.init = append(p.s.init, t.text)
	}
	if p.peek().kind == tokenEnd {
		p.stop(p.peek(), "the script has no events")
	}
	for p.peek().kind != tokenEnd {
		p.event()
	}
}

// tolerated are options of packetdrill that mean nothing here: there is one link, and addresses are ours.
var tolerated = map[string]bool{
	"local_ip": true, "remote_ip": true, "gateway_ip": true, "netmask_ip": true, "non_fatal": true, "speed": true,
	"wire_server_port": true, "verbose": true, "debug": true, "dry_run": true, "persistent_tun_dev": true, "init_scripts": true,
	"strict_segments": true, "send_omit_free": true, "no_cleanup": true,
}

// families are the values of --ip_version. A socket of IPv6 that speaks IPv4 is nothing of its own to a table.
var families = map[string]string{"ipv4": "ipv4", "ipv6": "ipv6", "ipv4-mapped-ipv6": "ipv4", "ipv4_mapped_ipv6": "ipv4"}

func (p *parser) option() {
	t := p.take()
	o := &p.s.options
	number := func(low, high int64) int64 {
		p.expect("=", "--"+t.text)
		return p.integer("--"+t.text, low, high)
	}
	switch t.text {
	case "ip_version":
		p.expect("=", "--ip_version")
		v := p.take()
		text := v.text
		for p.is("-") && p.peek().start == p.list[p.i-1].end {
			text += p.take().text + p.take().text
		}
		if o.family = families[text]; o.family == "" {
			p.stop(v, "--ip_version: want ipv4 or ipv6, got %s", text)
		}
	case "tolerance_usecs":
		o.tolerance = tcp.Duration(number(0, 1e9)) * tcp.Microsecond
	case "mtu":
		o.mtu = int(number(68, 65535))
	case "tcp_ts_tick_usecs":
		o.tick = tcp.Duration(number(0, 1e6)) * tcp.Microsecond
	case "bind_port":
		o.port = uint16(number(1, 65535))
	case "connect_port":
		o.remotePort = uint16(number(1, 65535))
	case "ignore_psh":
		o.ignorePSH = true
	case "ignore_rest":
		o.ignoreRest = true
	default:
		if !tolerated[t.text] {
			p.stop(t, "--%s is not an option of this runner", t.text)
		}
		if p.accept("=") {
			for line := p.peek().start; p.peek().kind != tokenEnd && !strings.Contains(p.source[line:p.peek().start], "\n"); {
				p.take()
			}
		}
	}
}

func (p *parser) event() {
	first := p.peek()
	e := event{line: 1 + strings.Count(p.source[:first.start], "\n")}
	e.when = p.when()
	t := p.peek()
	switch {
	case p.is("<") || p.is(">"):
		e.action = p.packet()
	case t.kind == tokenCommand:
		p.checkCommand(t)
		e.action = command(p.take().text)
	case t.kind == tokenCode:
		e.action = p.code()
	case t.kind == tokenEllipsis:
		p.take()
		e.when.blocking, e.when.end = true, p.time()
		e.action = p.call()
	case t.kind == tokenWord:
		e.action = p.call()
	default:
		p.stop(t, "want a packet, a call, a command or code after the time, got %v", t)
	}
	pk, _ := e.action.(*packet)
	if (e.when.any || e.when.ranged) && (pk == nil || pk.inbound) {
		p.stop(first, "only packets that leave can have * or a range as their time")
	}
	if (e.when.ranged || e.when.blocking) && e.when.end < e.when.start {
		p.stop(first, "the range of time ends before it begins")
	}
	e.text = strings.Join(strings.Fields(p.source[first.start:p.list[p.i-1].end]), " ")
	p.s.events = append(p.s.events, e)
}

func (p *parser) when() (w when) {
	if p.accept("*") {
		w.any = true
		return w
	}
	w.relative = p.accept("+")
	w.start = p.time()
	w.end = w.start
	if p.accept("~") {
		w.ranged = true
		t := p.peek()
		plus := p.accept("+")
		if w.relative && !plus {
			p.stop(t, "a range of time that begins relative ends so: want +, got %v", t)
		}
		w.end = p.time()
		if plus && !w.relative { // 1~+.2 ends .2 after it begins
			w.end += w.start
		}
	}
	return w
}

// time takes seconds, with nine decimals at most.
func (p *parser) time() tcp.Duration {
	t := p.take()
	if t.kind != tokenInteger && t.kind != tokenFloat {
		p.stop(t, "want a time in seconds, got %v", t)
	}
	whole, frac, _ := strings.Cut(t.text, ".")
	if strings.HasPrefix(whole, "-") {
		p.stop(t, "the time %s is negative", t.text)
	}
	if whole == "" {
		whole = "0"
	}
	n, err := strconv.ParseInt(whole+(frac + "000000000")[:9], 10, 63)
	if err != nil || len(frac) > 9 {
		p.stop(t, "the time %s is too long", t.text)
	}
	return tcp.Duration(n)
}
