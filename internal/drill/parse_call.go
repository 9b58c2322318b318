package drill

import (
	"strconv"
	"strings"
)

// call takes name(arguments) = result, errno and note.
func (p *parser) call() *call {
	t := p.take()
	c := &call{name: t.text}
	if _, ok := calls[t.text]; !ok {
		p.stop(t, "%v is not a call that this runner knows", t)
	}
	p.expect("(", t.text)
	for !p.accept(")") {
		c.args = append(c.args, p.value())
		if !p.is(")") {
			p.expect(",", t.text)
		}
	}
	if want := calls[t.text].args; len(c.args) < want {
		p.stop(t, "%s has %d arguments, not %d", t.text, want, len(c.args))
	}
	if !c.flatten() {
		p.stop(t, "%s: want pieces like [{..., 10}]", t.text)
	}
	p.expect("=", t.text)
	c.result = p.value()
	if e := p.peek(); e.kind == tokenWord {
		p.take()
		if _, ok := errnos[e.text]; !ok {
			p.stop(e, "%v is not an errno that this runner knows", e)
		}
		c.errno = e.text
	}
	if p.is("(") {
		p.note()
	}
	if c.errno != "" && (!c.result.isNum || c.result.number != -1) {
		p.stop(t, "%s fails with %s: its result is -1", c.name, c.errno)
	}
	return c
}

// flatten makes calls with several pieces into those with one: the streams are patterns, whatever pieces they come from.
func (c *call) flatten() bool {
	name, pieces, flags := "write", c.args[min(1, len(c.args)-1)].list, []value(nil)
	switch c.name {
	case "readv":
		name = "read"
	case "writev":
	case "sendmsg", "recvmsg":
		if c.name == "recvmsg" {
			name = "read"
		}
		pieces, flags = c.args[1].fields.list("msg_iov"), c.args[2:]
	default:
		return true
	}
	total := value{isNum: true}
	for _, x := range pieces {
		if len(x.fields) != 2 || !x.fields[1].value.isNum {
			return false
		}
		total.number += x.fields[1].value.number
	}
	c.name, c.args = name, append([]value{c.args[0], {any: true}, total}, flags...)
	return pieces != nil
}

// note passes over the words in parentheses that explain an errno.
func (p *parser) note() {
	for p.take(); !p.accept(")"); {
		if t := p.take(); t.kind == tokenEnd {
			p.stop(t, "the note has no end")
		}
	}
}

func (p *parser) value() value {
	t := p.take()
	switch t.kind {
	case tokenEllipsis:
		return value{any: true}
	case tokenString:
		p.accept("...")
		return value{text: t.text, isText: true}
	case tokenInteger, tokenHex:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			p.stop(t, "%v is not a number", t)
		}
		return value{number: n, isNum: true}
	case tokenWord:
		if p.accept("(") { // htons(80), inet_addr("...")
			v := p.value()
			p.expect(")", t.text)
			return v
		}
		v := value{words: []string{t.text}}
		for p.accept("|") {
			v.words = append(v.words, p.take().text)
		}
		return v
	case tokenPunct:
		switch t.text {
		case "[":
			return p.array()
		case "{":
			return p.record()
		}
	}
	p.stop(t, "want an argument, got %v", t)
	return value{}
}

func (p *parser) array() (v value) {
	v.list = []value{}
	for !p.accept("]") {
		v.list = append(v.list, p.value())
		if !p.is("]") {
			p.expect(",", "array")
		}
	}
	return v
}

func (p *parser) record() (v value) {
	for !p.accept("}") {
		var f field
		if t := p.peek(); t.kind == tokenWord {
			f.name = p.take().text
			if p.accept("(") { // msg_iov(1): the length says nothing
				p.value()
				p.expect(")", f.name)
			}
			p.expect("=", f.name)
		}
		f.value = p.value()
		v.fields = append(v.fields, f)
		if !p.is("}") {
			p.expect(",", "structure")
		}
	}
	return v
}

// integer is the number of [n] or n.
func (v value) integer() (int64, bool) {
	if len(v.list) == 1 {
		v = v.list[0]
	}
	return v.number, v.isNum
}

func (v value) has(word string) bool {
	for _, w := range v.words {
		if w == word {
			return true
		}
	}
	return false
}

// port is that of a socket address.
func (v value) port() (uint16, bool) {
	n, ok := v.fields.get("sin_port")
	if !ok {
		n, ok = v.fields.get("sin6_port")
	}
	return uint16(n), ok
}

func (v value) word() string { return strings.Join(v.words, "|") }
