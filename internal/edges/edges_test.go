// Package edges keeps the imports pointing down: which package may know which, as ARCHITECTURE.md draws it.
package edges

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rule says what a package may import of this module and of other modules, and what of the standard library it must not.
type rule struct {
	module    []string // packages of this module
	others    []string // prefixes of other modules' packages
	forbidden []string // of the standard library, with what lies below
}

// The core sees no clock, no network, no lock, no randomness: everything it does repeats.
var deterministic = []string{"time", "net", "os", "sync", "math/rand", "crypto/rand", "syscall", "runtime", "context", "log"}

var rules = map[string]rule{
	"tcpd/ip": {forbidden: deterministic},
	"tcpd/ether": {
		module: []string{"tcpd/ip"}, others: []string{"github.com/dchest/siphash"}, forbidden: deterministic,
	},
	"tcpd/tcp": {
		module: []string{"tcpd/ip"}, others: []string{"github.com/dchest/siphash"}, forbidden: deterministic,
	},
	"tcpd/stack": {
		module: []string{"tcpd/ip", "tcpd/tcp"}, others: []string{"go.uber.org/zap", "golang.org/x/sys/unix"}, // timerfd
	},
	"tcpd/tun": {
		module: []string{"tcpd/ip", "tcpd/ether"},
		others: []string{"golang.org/x/sys/unix", "golang.zx2c4.com/wireguard/tun", "github.com/vishvananda/netlink", "github.com/songgao/water"},
	},
	"tcpd/service":          {module: []string{"tcpd/service/datagram", "tcpd/internal/whole"}},
	"tcpd/service/datagram": {},
	"tcpd/config":           {others: []string{"github.com/goccy/go-yaml"}},
}

// exceptions are pure values that live in a forbidden tree.
var exceptions = []string{"net/netip"}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "tcpd/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImportsPointDown(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		r, ok := rules[p.ImportPath]
		if !ok {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if why := r.refuses(i); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, i, why)
			}
		}
	}
	if seen != len(rules) {
		t.Errorf("%d of %d packages with a rule were found", seen, len(rules))
	}
}

// TestWaterIsContained: one file knows songgao/water, and keeps its habits from doing harm.
func TestWaterIsContained(t *testing.T) {
	files, err := filepath.Glob("../../tun/*.go") // the rules above keep it out of other packages
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "songgao/water") {
				found = append(found, filepath.Base(name))
			}
		}
	}
	if !slices.Equal(found, []string{"water_linux.go"}) {
		t.Errorf("water is imported in %v, want it in water_linux.go alone", found)
	}
}

func (r rule) refuses(path string) string {
	switch {
	case slices.Contains(exceptions, path):
		return ""
	case strings.HasPrefix(path, "tcpd/"):
		if !slices.Contains(r.module, path) {
			return "imports point down only"
		}
	case strings.Contains(strings.Split(path, "/")[0], "."):
		if !slices.Contains(r.others, path) && !slices.ContainsFunc(r.others, func(o string) bool { return strings.HasPrefix(path, o+"/") }) {
			return "not one of this package's dependencies"
		}
	case slices.ContainsFunc(r.forbidden, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") }):
		return "the package is deterministic"
	}
	return ""
}

// TestRulesRefuse shows that the rules can fail.
func TestRulesRefuse(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"tcpd/tcp", "time"}, {"tcpd/tcp", "sync/atomic"}, {"tcpd/tcp", "tcpd/stack"}, {"tcpd/ip", "net"},
		{"tcpd/stack", "tcpd/tun"}, {"tcpd/service", "tcpd/tcp"}, {"tcpd/tun", "github.com/spf13/cobra"},
	} {
		if rules[c.from].refuses(c.to) == "" {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	if why := rules["tcpd/ip"].refuses("net/netip"); why != "" {
		t.Errorf("net/netip refused: %s", why)
	}
}
