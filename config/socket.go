package config

import (
	"regexp"
	"slices"
)

// ControlSocket returns control.socket of the file at path, the built-in one if the file has none. The rest of the file may be
// wrong, half edited, or right together with flags only: who asks wants to reach the daemon, which judges the file when it reads it.
func ControlSocket(path string) (string, error) {
	text, err := readFile(path)
	if err != nil {
		return "", Errors{unreadable(path, err)}
	}
	for _, layer := range [][]byte{text, Reference} {
		root, _ := parse(&source{name: path, text: layer})
		if n := root.find("control").find("socket"); n != nil && n.kind == scalar {
			return n.text, nil
		}
		if line := socketLine.FindSubmatch(layer); root == nil && line != nil {
			return string(line[1]), nil
		}
	}
	return "", nil
}

// socketLine finds a path in a text that is not YAML at present.
var socketLine = regexp.MustCompile(`(?m)^[^#\n]*\bsocket:[ \t]*["']?(/[^\s"',{}#]*)`)

// find returns the value of a key, nil if there is none.
func (n *node) find(key string) *node {
	if n == nil {
		return nil
	}
	i := slices.IndexFunc(n.pairs, func(p pair) bool { return p.key == key })
	if i < 0 {
		return nil
	}
	return n.pairs[i].value
}
