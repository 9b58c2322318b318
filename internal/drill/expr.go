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
	switch u.op {
	case "not":
		return truth(x == 0)
	case "~":
		return ^x
	case "abs":
		return max(x, -x)
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
	case "|":
		return x | y
	case "^":
		return x ^ y
	case "<<":
		return x << min(max(y, 0), 63)
	case ">>":
		return x >> min(max(y, 0), 63)
	case "min":
		return min(x, y)
	case "max":
		return max(x, y)
	case ",":
		return y
	}
	return divide(b.op, x, y)
}

// divide rounds as Python's // does; by zero it gives zero.
func divide(op string, x, y int64) int64 {
	if y == 0 {
		return 0
	}
	q, rest := x/y, x%y
	if rest != 0 && (rest < 0) != (y < 0) {
		q, rest = q-1, rest+y
	}
	if op == "%" {
		return rest
	}
	return q
}

// code takes assertions and what is printed, one a line or separated by semicolons.
func (p *parser) code() code {
	t := p.take()
	sub := &parser{lexer: lexer{name: p.name, source: p.source[:t.end-2], at: t.start + 2, python: true}}
	var err error
	if sub.list, err = sub.tokens(); err != nil {
		panic(syntax{err})
	}
	var list code
	for sub.peek().kind != tokenEnd {
		if sub.accept(";") {
			continue
		}
		list = append(list, sub.statement())
	}
	if len(list) == 0 {
		p.stop(t, "the code has no assertion")
	}
	return list
}

// statement takes assert, with what Python would print when it fails, or print.
func (p *parser) statement() (a assertion) {
	first := p.peek()
	if a.print = p.accept("print"); !a.print && !p.accept("assert") {
		p.stop(first, "the code consists of assertions; want assert or print, got %v", first)
	}
	a.expr = p.expr(0)
	end := p.list[p.i-1].end
	for p.accept(",") {
		if x := p.expr(0); a.print {
			a.expr = operation{",", a.expr, x}
		}
	}
	if a.print {
		end = p.list[p.i-1].end
	}
	a.text = strings.Join(strings.Fields(p.source[first.start:end]), " ")
	return a
}

// levels are the operators by binding, loosest first.
var levels = [][]string{
	{"or"}, {"and"}, {"==", "!=", "<=", ">=", "<", ">"}, {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "//", "/", "%"},
}

const comparisons = 2 // the level of those, which chain: a < b < c is a < b and b < c

func (p *parser) expr(level int) expr {
	if level == len(levels) {
		return p.operand()
	}
	if level == comparisons && p.accept("not") {
		return unary{"not", p.expr(level)}
	}
	x := p.expr(level + 1)
	left := x
	for n := 0; ; n++ {
		op := p.operator(levels[level])
		switch {
		case op == "":
			return x
		case level == comparisons && n > 0:
			right := p.expr(level + 1)
			x, left = operation{"and", x, operation{op, left, right}}, right
		default:
			right := p.expr(level + 1)
			x, left = operation{op, x, right}, right
		}
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
		for p.accept(",") { // the values of a format
			x = operation{",", x, p.expr(0)}
		}
		p.expect(")", "expression")
		return x
	case (t.text == "-" || t.text == "~") && t.kind == tokenPunct:
		return unary{t.text, p.operand()}
	case t.kind == tokenString: // a message, with what it formats
		return number(0)
	case t.kind == tokenWord && p.is("("):
		return p.function(t)
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

// function takes the arguments of abs, min or max.
func (p *parser) function(t token) expr {
	p.take()
	x := p.expr(0)
	switch t.text {
	case "abs", "int":
		x = unary{t.text, x}
		if t.text == "int" {
			x = x.(unary).x
		}
	case "min", "max":
		for p.accept(",") {
			x = operation{t.text, x, p.expr(0)}
		}
	default:
		p.stop(t, "%v is not a function that this runner knows: abs, min, max, int", t)
	}
	p.expect(")", t.text)
	return x
}
