package drill

import (
	"fmt"
	"strings"
)

// SyntaxError is a script that cannot be read: where, and what is wrong.
type SyntaxError struct {
	Name         string
	Line, Column int
	What         string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.What)
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenInteger
	tokenHex
	tokenFloat
	tokenString  // "..."
	tokenCommand // `...`
	tokenCode    // %{ ... }%
	tokenOption  // --name
	tokenEllipsis
	tokenPunct // any other character
)

// token is a piece of a script; text is without quotes.
type token struct {
	kind       tokenKind
	text       string
	start, end int // in the source
}

func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the script"
	case tokenString:
		return `"` + t.text + `"`
	case tokenCommand:
		return "`" + t.text + "`"
	case tokenCode:
		return "%{ }%"
	case tokenOption:
		return "--" + t.text
	}
	return t.text
}

type lexer struct {
	name, source string
	at           int
	python       bool // of code: // divides, '...' is a string as well
}

func (l *lexer) fail(at int, format string, args ...any) error {
	before := l.source[:at]
	return &SyntaxError{
		Name: l.name, Line: 1 + strings.Count(before, "\n"), Column: at - strings.LastIndexByte(before, '\n'),
		What: fmt.Sprintf(format, args...),
	}
}

// tokens takes the whole source apart.
func (l *lexer) tokens() ([]token, error) {
	var list []token
	for {
		if err := l.skip(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		if t.kind == tokenEnd {
			return list, nil
		}
	}
}

// skip passes over space and comments.
func (l *lexer) skip() error {
	for l.at < len(l.source) {
		rest := l.source[l.at:]
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			l.at++
		case strings.HasPrefix(rest, "//") && !l.python || rest[0] == '#':
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			l.at += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				return l.fail(l.at, "the comment has no end")
			}
			l.at += n + 2
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) next() (token, error) {
	t := token{start: l.at}
	rest := l.source[l.at:]
	switch {
	case rest == "":
		t.end = l.at
		return t, nil
	case strings.HasPrefix(rest, "..."):
		t.kind, t.text = tokenEllipsis, "..."
		l.at += 3
	case strings.HasPrefix(rest, "%{"):
		return l.quoted(tokenCode, "%{", "}%", "the code")
	case rest[0] == '"':
		return l.quoted(tokenString, `"`, `"`, "the string")
	case rest[0] == '\'' && l.python:
		return l.quoted(tokenString, "'", "'", "the string")
	case rest[0] == '`':
		return l.quoted(tokenCommand, "`", "`", "the command")
	case strings.HasPrefix(rest, "--") && len(rest) > 2 && isWord(rest[2]):
		n := wordLen(rest[2:])
		t.kind, t.text = tokenOption, rest[2:2+n]
		l.at += 2 + n
	default:
		t.kind, t.text = plain(rest)
		l.at += len(t.text)
	}
	t.end = l.at
	return t, nil
}

func (l *lexer) quoted(kind tokenKind, open, closing, what string) (token, error) {
	start := l.at
	n := strings.Index(l.source[start+len(open):], closing)
	if n < 0 {
		return token{}, l.fail(start, "%s has no end", what)
	}
	from := start + len(open)
	l.at = from + n + len(closing)
	return token{kind: kind, text: l.source[from : from+n], start: start, end: l.at}, nil
}

// plain takes the longest number or word, or one character.
func plain(s string) (tokenKind, string) {
	sign := 0
	if s[0] == '-' {
		sign = 1
	}
	whole := digits(s[sign:])
	dot := sign + whole
	if dot < len(s) && s[dot] == '.' {
		if n := digits(s[dot+1:]); n > 0 {
			return tokenFloat, s[:dot+1+n]
		}
	}
	word := wordLen(s)
	switch {
	case strings.HasPrefix(s, "0x") && word > 2:
		return tokenHex, s[:word]
	case whole > 0 && sign+whole >= word:
		return tokenInteger, s[:sign+whole]
	case word > 0:
		return tokenWord, s[:word]
	}
	return tokenPunct, s[:1]
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func wordLen(s string) int {
	n := 0
	for n < len(s) && isWord(s[n]) {
		n++
	}
	return n
}
