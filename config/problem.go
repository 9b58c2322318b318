package config

import (
	"fmt"
	"strings"
	"unicode"
)

// Layers of a configuration: a higher one overrides a lower one.
const (
	rankBuiltIn = iota
	rankFile
	rankFlag
)

// source is a text that values come from.
type source struct {
	name string
	text []byte
	rank int
}

// Location is the place a value comes from. Lines and columns count from 1, columns in characters; line 0 is the source as
// a whole.
type Location struct {
	source       *source
	Line, Column int
	width        int // characters to underline
}

func (l Location) rank() int {
	if l.source == nil {
		return rankBuiltIn
	}
	return l.source.rank
}

func (l Location) String() string {
	switch {
	case l.source == nil:
		return ""
	case l.Line == 0:
		return l.source.name
	}
	return fmt.Sprintf("%s:%d:%d", l.source.name, l.Line, l.Column)
}

// Problem is one thing that is wrong, with its place, what to do about it, and the lines around it.
type Problem struct {
	At   Location
	What string
	Hint string // how to put it right; may be empty
}

// String returns the problem in one line.
func (p Problem) String() string {
	s := p.What
	if at := p.At.String(); at != "" {
		s = at + ": " + s
	}
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Text returns the problem in several lines, with an excerpt of its source.
func (p Problem) Text() string {
	var b strings.Builder
	if at := p.At.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(p.What + "\n")
	p.At.excerpt(&b)
	if p.Hint != "" {
		b.WriteString("  " + p.Hint + "\n")
	}
	return b.String()
}

// excerpt writes the line of l with a caret below, and the line before it.
func (l Location) excerpt(b *strings.Builder) {
	if l.source == nil || l.Line == 0 {
		return
	}
	lines := strings.Split(string(l.source.text), "\n")
	if l.Line > len(lines) {
		return
	}
	left := 0
	if l.Column > 90 {
		left = l.Column - 60
	}
	if l.Line > 1 {
		fmt.Fprintf(b, "  %4d | %s\n", l.Line-1, printable(lines[l.Line-2], left))
	}
	fmt.Fprintf(b, "> %4d | %s\n", l.Line, printable(lines[l.Line-1], left))
	caret := strings.Repeat("^", min(max(l.width, 1), 60))
	fmt.Fprintf(b, "       | %s%s\n", strings.Repeat(" ", max(l.Column-1-left, 0)), caret)
}

// printable returns at most 120 characters of the line from character left on, each of them one column wide and harmless to
// a terminal.
func printable(line string, left int) string {
	r := []rune(strings.TrimRight(line, "\r"))
	r = r[min(left, len(r)):]
	if len(r) > 120 {
		r = append(r[:119:119], '…')
	}
	for i, c := range r {
		switch {
		case c == '\t':
			r[i] = ' '
		case !unicode.IsPrint(c):
			r[i] = '?'
		}
	}
	return string(r)
}

// Errors is everything that is wrong with a configuration, in the order of the file.
type Errors []Problem

func (e Errors) Error() string {
	var b strings.Builder
	for i, p := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Text())
	}
	return strings.TrimRight(b.String(), "\n")
}

// mistake is what a value's parser finds wrong, without its place.
type mistake struct{ what, hint string }

func (m *mistake) Error() string { return m.what }

func wrong(hint, format string, args ...any) *mistake {
	return &mistake{what: fmt.Sprintf(format, args...), hint: hint}
}
