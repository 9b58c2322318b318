package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tcpd/tcp"
)

// connFilter chooses connections. The grammar is that of ss(8):
//
//	filter     = { "state" NAME | "exclude" NAME } [ expression ]
//	expression = term { "or" term }
//	term       = factor { ["and"] factor }
//	factor     = "not" factor | "(" expression ")" | predicate
//	predicate  = ("src" | "dst") [OP] ADDRESS[/LENGTH][:PORT] | ("sport" | "dport") [OP] [:]PORT
//
// with |, &, ! for or, and, not, and = == eq != ne < lt <= le > gt >= ge for OP. src and sport are our side.
type connFilter struct {
	states map[tcp.State]bool
	match  func(local, peer netip.AddrPort) bool // nil: everything
}

// stateNames are the names of states as ss has them: in lists, and in filters.
var stateNames = []struct {
	state       tcp.State
	short, long string
}{
	{tcp.Established, "ESTAB", "established"}, {tcp.SynSent, "SYN-SENT", "syn-sent"}, {tcp.SynReceived, "SYN-RECV", "syn-recv"},
	{tcp.FinWait1, "FIN-WAIT-1", "fin-wait-1"}, {tcp.FinWait2, "FIN-WAIT-2", "fin-wait-2"}, {tcp.TimeWait, "TIME-WAIT", "time-wait"},
	{tcp.Closed, "UNCONN", "closed"}, {tcp.CloseWait, "CLOSE-WAIT", "close-wait"}, {tcp.LastAck, "LAST-ACK", "last-ack"},
	{tcp.Closing, "CLOSING", "closing"},
}

// stateSets are the names that stand for several states.
var stateSets = map[string][]tcp.State{
	"connected":    {tcp.Established, tcp.SynSent, tcp.SynReceived, tcp.FinWait1, tcp.FinWait2, tcp.TimeWait, tcp.CloseWait, tcp.LastAck, tcp.Closing},
	"synchronized": {tcp.Established, tcp.SynReceived, tcp.FinWait1, tcp.FinWait2, tcp.TimeWait, tcp.CloseWait, tcp.LastAck, tcp.Closing},
	"bucket":       {tcp.SynReceived, tcp.TimeWait},
	"big":          {tcp.Established, tcp.SynSent, tcp.FinWait1, tcp.FinWait2, tcp.Closed, tcp.CloseWait, tcp.LastAck, tcp.Closing},
}

func statesOf(name string) ([]tcp.State, bool) {
	if name == "all" {
		var all []tcp.State
		for _, s := range stateNames {
			all = append(all, s.state)
		}
		return all, true
	}
	if set, ok := stateSets[name]; ok {
		return set, true
	}
	for _, s := range stateNames {
		if name == s.long {
			return []tcp.State{s.state}, true
		}
	}
	return nil, false
}

// parseFilter reads a filter. Without a word about states it chooses whole connections that are not closed, as ss does.
func parseFilter(text string) (*connFilter, error) {
	p := &filterParser{words: filterWords(text)}
	f := &connFilter{states: map[tcp.State]bool{}}
	if err := p.states(f); err != nil {
		return nil, err
	}
	if p.peek() == "" {
		return f, nil
	}
	match, err := p.or()
	if err == nil && p.peek() != "" {
		err = p.wrong("the expression ends before it")
	}
	f.match = match
	return f, err
}

func (f *connFilter) takes(s tcp.State, local, peer netip.AddrPort) bool {
	return f.states[s] && (f.match == nil || f.match(local, peer))
}

// filterWords cuts a filter into words; operators need no spaces around them.
func filterWords(text string) []string {
	var words []string
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n':
			i++
		case strings.IndexByte("()|&", c) >= 0:
			words = append(words, string(c))
			i++
			for i < len(text) && (c == '|' || c == '&') && text[i] == c {
				i++
			}
		case strings.IndexByte("=!<>", c) >= 0:
			n := 1
			if i+1 < len(text) && text[i+1] == '=' {
				n = 2
			}
			words = append(words, text[i:i+n])
			i += n
		default:
			n := strings.IndexAny(text[i:], " \t\n()|&=!<>")
			if n < 0 {
				n = len(text) - i
			}
			words = append(words, text[i:i+n])
			i += n
		}
	}
	return words
}

type filterParser struct {
	words []string
	at    int
}

func (p *filterParser) peek() string {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return ""
}

func (p *filterParser) next() string {
	w := p.peek()
	p.at = min(p.at+1, len(p.words))
	return w
}

// take steps over a word if it is one of some.
func (p *filterParser) take(words ...string) bool {
	if w := p.peek(); w != "" && slices.Contains(words, w) {
		p.at++
		return true
	}
	return false
}

// wrong complains about the word that is next.
func (p *filterParser) wrong(format string, args ...any) error {
	where := "at its end"
	if w := p.peek(); w != "" {
		where = fmt.Sprintf("at word %d, %q", p.at+1, w)
	}
	return fmt.Errorf("the filter is wrong %s: %s (like: state established dport = :80)", where, fmt.Sprintf(format, args...))
}

// states reads "state NAME" and "exclude NAME".
func (p *filterParser) states(f *connFilter) error {
	chosen := false
	for {
		exclude := p.peek() == "exclude"
		if !exclude && p.peek() != "state" {
			break
		}
		p.next()
		set, ok := statesOf(p.peek())
		if !ok {
			return p.wrong("it must be a state: established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, closed, close-wait, last-ack, closing, or all, connected, synchronized, bucket, big")
		}
		p.next()
		if exclude && !chosen {
			f.choose("all", true)
		}
		chosen = true
		for _, s := range set {
			f.states[s] = !exclude
		}
	}
	if !chosen {
		f.choose("big", true)
		f.states[tcp.Closed] = false
	}
	return nil
}

func (f *connFilter) choose(name string, on bool) {
	set, _ := statesOf(name)
	for _, s := range set {
		f.states[s] = on
	}
}

type connMatch = func(local, peer netip.AddrPort) bool

func (p *filterParser) or() (connMatch, error) {
	left, err := p.and()
	for err == nil && p.take("or", "|") {
		a := left
		var b connMatch
		b, err = p.and()
		left = func(l, r netip.AddrPort) bool { return a(l, r) || b(l, r) }
	}
	return left, err
}

// and: two factors beside each other are joined as well.
func (p *filterParser) and() (connMatch, error) {
	left, err := p.factor()
	for err == nil && (p.take("and", "&") || p.peek() != "" && !slices.Contains([]string{")", "or", "|"}, p.peek())) {
		a := left
		var b connMatch
		b, err = p.factor()
		left = func(l, r netip.AddrPort) bool { return a(l, r) && b(l, r) }
	}
	return left, err
}

func (p *filterParser) factor() (connMatch, error) {
	switch {
	case p.take("not", "!"):
		m, err := p.factor()
		return func(l, r netip.AddrPort) bool { return !m(l, r) }, err
	case p.take("("):
		m, err := p.or()
		if err == nil && !p.take(")") {
			err = p.wrong("a closing parenthesis is missing")
		}
		return m, err
	}
	return p.predicate()
}

// comparisons are the operators by their names.
var comparisons = map[string]string{
	"=": "=", "==": "=", "eq": "=", "!=": "!=", "ne": "!=", "neq": "!=", "<": "<", "lt": "<", "<=": "<=", "le": "<=", "leq": "<=",
	">": ">", "gt": ">", ">=": ">=", "ge": ">=", "geq": ">=",
}

func (p *filterParser) predicate() (connMatch, error) {
	what := p.peek()
	if !slices.Contains([]string{"src", "dst", "sport", "dport"}, what) {
		return nil, p.wrong("here begins src, dst, sport, dport, not or a parenthesis")
	}
	p.next()
	op := "="
	if name, ok := comparisons[p.peek()]; ok {
		op = name
		p.next()
	}
	if p.peek() == "" {
		return nil, p.wrong("%s is compared with nothing", what)
	}
	side := func(_, peer netip.AddrPort) netip.AddrPort { return peer }
	if what[0] == 's' {
		side = func(local, _ netip.AddrPort) netip.AddrPort { return local }
	}
	if strings.HasSuffix(what, "port") {
		return p.port(op, side)
	}
	return p.address(op, side)
}

func (p *filterParser) port(op string, side func(_, _ netip.AddrPort) netip.AddrPort) (connMatch, error) {
	n, err := portNumber(strings.TrimPrefix(p.peek(), ":"))
	if err != nil {
		return nil, p.wrong("it must be a port, like :80 or :http")
	}
	p.next()
	compare := map[string]func(port uint16) bool{
		"=": func(x uint16) bool { return x == n }, "!=": func(x uint16) bool { return x != n }, "<": func(x uint16) bool { return x < n },
		"<=": func(x uint16) bool { return x <= n }, ">": func(x uint16) bool { return x > n }, ">=": func(x uint16) bool { return x >= n },
	}[op]
	return func(l, r netip.AddrPort) bool { return compare(side(l, r).Port()) }, nil
}

func portNumber(s string) (uint16, error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return uint16(n), nil
	}
	n, err := net.LookupPort("tcp", s)
	return uint16(n), err
}

func (p *filterParser) address(op string, side func(_, _ netip.AddrPort) netip.AddrPort) (connMatch, error) {
	if op != "=" && op != "!=" {
		p.at--
		return nil, p.wrong("addresses are compared with = or != only")
	}
	prefix, port, err := hostCondition(p.peek())
	if err != nil {
		return nil, p.wrong("it must be an address, like 10.77.0.1, 10.0.0.0/8, [fd77::1]:80, *:80")
	}
	p.next()
	return func(l, r netip.AddrPort) bool {
		a := side(l, r)
		return ((!prefix.IsValid() || prefix.Contains(a.Addr())) && (port == 0 || port == a.Port())) == (op == "=")
	}, nil
}

// hostCondition reads ADDRESS[/LENGTH][:PORT]; * is any address.
func hostCondition(s string) (prefix netip.Prefix, port uint16, err error) {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && (strings.Count(s, ":") == 1 || i > 0 && strings.Contains(s[:i], "]")) {
		if host = s[:i]; s[i+1:] != "*" {
			if port, err = portNumber(s[i+1:]); err != nil {
				return prefix, 0, err
			}
		}
	}
	host = strings.NewReplacer("[", "", "]", "").Replace(host)
	if host == "*" || host == "" && port != 0 {
		return prefix, port, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), port, nil
	}
	prefix, err = netip.ParsePrefix(host)
	return prefix.Masked(), port, err
}
