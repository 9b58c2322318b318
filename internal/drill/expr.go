package drill

import (
	"strconv"
	"strings"
)

// expr is an expression of an assertion. Comparisons give 0 or 1.
type expr interface {
	eval(get func(string) int64) int64
}

type number int64

func (n number) eval(func(string) int64) int64 { return int64(n) }

type name string

func (n name) eval(get func(string) int64) int64 { return get(string(n)) }

type unary struct {
	op string
	x  expr
}

func (u unary) eval(get func(string) int64) int64 {
	x := u.x.eval(get)
	if u.op == "not" {
		return truth(x == 0)
	}
	return -x
}

type operation struct {
	op   string
	x, y expr
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (b operation) eval(get func(string) int64) int64 {
	x, y := b.x.eval(get), b.y.eval(get)
	switch b.op {
	case "or":
		return truth(x != 0 || y != 0)
	case "and":
		return truth(x != 0 && y != 0)
	case "==":
		return truth(x == y)
	case "!=":
		return truth(x != y)
	case "<":
		return truth(x < y)
	case "<=":
		return truth(x <= y)
	case ">":
		return truth(x > y)
	case ">=":
		return truth(x >= y)
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "&":
		return x & y
	}
	if y == 0 {
		return 0
	}
	return x / y
}

// code takes assertions, one a line or separated by semicolons.
func (p *parser) code() code {
	t := p.take()
	sub := &parser{lexer: lexer{name: p.name, source: p.source[:t.end-2], at: t.start + 2}}
	var err error
	if sub.list, err = sub.tokens(); err != nil {
		panic(syntax{err})
	}
	var list code
	for sub.peek().kind != tokenEnd {
		if sub.accept(";") {
			continue
		}
		first := sub.peek()
		if !sub.accept("assert") {
			sub.stop(first, "the code consists of assertions; want assert, got %v", first)
		}
		x := sub.expr(0)
		end := sub.list[sub.i-1].end
		if sub.accept(",") { // what Python would print
			sub.expr(0)
		}
		text := strings.Join(strings.Fields(p.source[first.start:end]), " ")
		list = append(list, assertion{text: text, expr: x})
	}
	if len(list) == 0 {
		p.stop(t, "the code has no assertion")
	}
	return list
}

// levels are the operators by binding, loosest first.
var levels = [][]string{
	{"or"}, {"and"}, {"==", "!=", "<=", ">=", "<", ">"}, {"&"}, {"+", "-"}, {"*", "/"},
}

func (p *parser) expr(level int) expr {
	if level == len(levels) {
		return p.operand()
	}
	if level == 2 && p.accept("not") {
		return unary{"not", p.expr(level)}
	}
	x := p.expr(level + 1)
	for {
		op := p.operator(levels[level])
		if op == "" {
			return x
		}
		x = operation{op, x, p.expr(level + 1)}
	}
}

// operator takes one of ops, which may be two characters.
func (p *parser) operator(ops []string) string {
	for _, op := range ops {
		if p.is(op) {
			p.take()
			return op
		}
		if len(op) == 2 && p.is(op[:1]) && p.ahead(1).text == op[1:] && p.ahead(1).start == p.peek().end {
			p.take()
			p.take()
			return op
		}
	}
	return ""
}

func (p *parser) operand() expr {
	t := p.take()
	switch {
	case t.text == "(" && t.kind == tokenPunct:
		x := p.expr(0)
		p.expect(")", "expression")
		return x
	case t.text == "-" && t.kind == tokenPunct:
		return unary{"-", p.operand()}
	case t.kind == tokenInteger || t.kind == tokenHex:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			p.stop(t, "%v is not a number", t)
		}
		return number(n)
	case t.kind == tokenWord:
		if n, ok := constants[t.text]; ok {
			return number(n)
		}
		if _, ok := facts[t.text]; ok || isDrop(t.text) || t.text == reportsFact {
			return name(t.text)
		}
		p.stop(t, "%v is not a fact about a connection that this runner knows", t)
	}
	p.stop(t, "want a number or a name, got %v", t)
	return nil
}
