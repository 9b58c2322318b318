package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What exceeds these is no configuration. The parser needs memory quadratic in the depth and time quadratic in the number of
// keys of one mapping.
const (
	maxFile   = 512 << 10 // bytes: five thousand services
	maxDepth  = 64
	maxIndent = 2 * maxDepth // characters
)

type kind uint8

const (
	scalar kind = iota
	null
	list
	mapping
	broken // not understood
)

func (k kind) String() string {
	return [...]string{"a single value", "nothing", "a list", "a mapping", "something else"}[k]
}

// node is a value of a layer: what is left of YAML, or of a flag.
type node struct {
	kind  kind
	text  string // of a scalar
	items []*node
	pairs []pair
	at    Location
}

type pair struct {
	key   string
	at    Location
	value *node
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes, this is no configuration of tcpd", maxFile)
	}
	return text, err
}

func unreadable(path string, err error) Problem {
	hint := "give the right file with --config, or none for the built-in configuration"
	if errors.Is(err, os.ErrPermission) {
		hint = "make it readable for the user that tcpd runs as"
	}
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return Problem{
		At:   Location{source: &source{name: path}},
		What: fmt.Sprintf("cannot read the configuration: %v", err), Hint: hint,
	}
}

// parse returns the tree of a YAML file, nil for an empty one.
func parse(s *source) (n *node, problems []Problem) {
	s.text = normalize(s.text)
	t := &treeBuilder{source: s}
	if !t.sane() {
		return nil, t.problems
	}
	file, err := parser.ParseBytes(s.text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []Problem{t.syntax(err)}
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.DirectiveType || doc.Body.Type() == ast.CommentType:
		case n != nil:
			t.problem(t.at(doc.Body), "a second document; the configuration is one document", "remove the line ---")
		default:
			n = t.node(doc.Body, 0)
		}
	}
	return n, t.problems
}

// normalize removes what editors on other systems add: a byte order mark, carriage returns at the end of lines.
func normalize(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
}

type treeBuilder struct {
	source   *source
	problems []Problem
}

func (t *treeBuilder) problem(at Location, what, hint string) {
	t.problems = append(t.problems, Problem{At: at, What: what, Hint: hint})
}

// sane reports whether the text can be given to the parser, which recurses once a bracket, and once a level of indentation.
func (t *treeBuilder) sane() bool {
	depth, indent, line := 0, 0, 1
	for text := t.source.text; len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		at := Location{source: t.source, Line: line, Column: 1}
		switch {
		case r == utf8.RuneError && size == 1, r == 0:
			t.problem(at, "this line is not text in UTF-8", "save the file as UTF-8")
			return false
		case r == '\n':
			line, indent = line+1, 0
		case indent >= 0 && (r == ' ' || r == '-' || r == '?'):
			indent++
		case r == '[' || r == '{':
			depth++
		case r == ']' || r == '}':
			depth = max(depth-1, 0)
		}
		if r != '\n' && r != ' ' && r != '-' && r != '?' {
			indent = -1 // the line's text has begun
		}
		if depth > maxDepth || indent > maxIndent {
			t.problem(at, "nested too deeply, or indented too far", "a configuration has four levels")
			return false
		}
		text = text[size:]
	}
	return true
}

func (t *treeBuilder) syntax(err error) Problem {
	p := Problem{At: Location{source: t.source}, What: "this is not YAML: " + err.Error()}
	var e *yaml.SyntaxError
	if errors.As(err, &e) {
		p.What = "this is not YAML: " + printable(e.GetMessage(), 0)
		p.At = t.token(e.GetToken())
	}
	switch {
	case strings.Contains(err.Error(), "found character '\t'"):
		p.What = "this is not YAML: a tab where the indentation belongs"
		p.Hint = "indent with spaces"
	case strings.Contains(p.What, "could not find flow mapping end"):
		p.Hint = "each { needs its }"
	case strings.Contains(p.What, "not allowed in this context"):
		p.Hint = `check the indentation; a value that has ": " in it needs quotes`
	}
	return p
}

func (t *treeBuilder) token(tk *token.Token) Location {
	if tk == nil || tk.Position == nil {
		return Location{source: t.source}
	}
	return Location{
		source: t.source, Line: tk.Position.Line, Column: tk.Position.Column,
		width: utf8.RuneCountInString(firstLine(strings.TrimSpace(tk.Origin))),
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (t *treeBuilder) at(n ast.Node) Location { return t.token(n.GetToken()) }

// node converts, and refuses what YAML has beyond lists, mappings and single values.
func (t *treeBuilder) node(n ast.Node, depth int) *node {
	out := &node{kind: scalar, at: t.at(n)}
	if depth > maxDepth {
		out.kind = broken
		t.problem(out.at, "nested too deeply", "")
		return out
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.kind = mapping
		lines := make(map[string]int, len(n.Values))
		for _, v := range n.Values {
			out.pairs = t.pair(out.pairs, lines, v, depth)
		}
		if len(out.pairs) > 0 && n.GetToken().Value == ":" {
			out.at = out.pairs[0].at
		}
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.items = append(out.items, t.node(v, depth+1))
		}
	case *ast.NullNode:
		out.kind = null
	case *ast.StringNode:
		out.text = n.Value
	case *ast.LiteralNode:
		out.text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.text = n.GetToken().Value
	default:
		out.kind = broken
		t.problem(out.at, "anchors, aliases and tags are not understood here", "write the value out")
	}
	return out
}

// pair appends one key with its value; lines has the line of every key before it.
func (t *treeBuilder) pair(pairs []pair, lines map[string]int, v *ast.MappingValueNode, depth int) []pair {
	at := t.at(v.Key)
	key, ok := v.Key.(*ast.StringNode)
	if !ok {
		t.problem(at, "this cannot be a key", "keys are plain words")
		return pairs
	}
	if line, twice := lines[key.Value]; twice {
		t.problem(at, fmt.Sprintf("%s is here for the second time, first in line %d", short(key.Value), line), "remove one of them")
		return pairs
	}
	lines[key.Value] = at.Line
	value := &node{kind: null, at: at}
	if v.Value != nil {
		value = t.node(v.Value, depth+1)
	}
	if value.kind == null || value.at.Line == 0 {
		value.at = at // the parser gives an absent value a place of its own making
	}
	return append(pairs, pair{key: key.Value, at: at, value: value})
}
