package drill_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const conformance = "../../tcp/CONFORMANCE.md"

// requirement is a row of the table.
type requirement struct{ label, text, proof string }

// labels are all that have to be there: those of RFC 9293, appendix B, and our numbers of what the others require.
func labels() (list []string) {
	for _, x := range []struct {
		prefix string
		n      int
	}{
		{"MUST", 69}, {"SHLD", 31}, {"MAY", 18}, {"REC", 1},
		{"5681", 26}, {"6298", 13}, {"6675", 15}, {"7323", 21}, {"2018", 14}, {"2883", 7}, {"5961", 10}, {"8985", 22}, {"9438", 13},
		{"7661", 3}, {"3168", 15}, {"6528", 4},
	} {
		for i := range x.n {
			list = append(list, fmt.Sprintf("%s-%d", x.prefix, i+1))
		}
	}
	return list
}

// unmet are the only labels of RFC 9293 with MUST that a reason may stand for: source routes are an attack.
var unmet = []string{"MUST-51", "MUST-52", "MUST-53"}

const notDone = "not done: "

func readConformance(t *testing.T) (rows []requirement) {
	t.Helper()
	b, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| label") {
			continue
		}
		c := strings.Split(strings.Trim(line, "| "), " | ")
		if len(c) != 3 {
			t.Errorf("line %d has %d columns, want 3", i+1, len(c))
			continue
		}
		rows = append(rows, requirement{c[0], c[1], c[2]})
	}
	return rows
}

// TestConformance: each requirement is shown by what exists, or says why it is not met.
func TestConformance(t *testing.T) {
	seen := map[string]bool{}
	tests := map[string]map[string]bool{}
	for _, r := range readConformance(t) {
		if seen[r.label] {
			t.Errorf("%s is there twice", r.label)
		}
		seen[r.label] = true
		if !slices.Contains(labels(), r.label) {
			t.Errorf("%s is no label", r.label)
		}
		for _, mistake := range r.mistakes(tests) {
			t.Errorf("%s: %s", r.label, mistake)
		}
	}
	for _, l := range labels() {
		if !seen[l] {
			t.Errorf("%s is missing", l)
		}
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// mistakes judges a row. tests are those of the packages that were looked at.
func (r *requirement) mistakes(tests map[string]map[string]bool) (list []string) {
	reason, done := strings.CutPrefix(r.proof, notDone)
	switch {
	case len(r.text) < 3:
		list = append(list, "says nothing")
	case done && len(reason) < 20:
		list = append(list, "is not met, without a reason")
	case done && strings.HasPrefix(r.label, "MUST-") && !slices.Contains(unmet, r.label):
		list = append(list, "has to be met")
	}
	names := quoted.FindAllStringSubmatch(r.proof, -1)
	if len(names) == 0 && !done {
		list = append(list, "has neither a test nor a reason")
	}
	for _, m := range names {
		if !exists(m[1], tests) {
			list = append(list, m[1]+" does not exist")
		}
	}
	return list
}

// exists looks for directory/name.pkt or package: TestName.
func exists(name string, tests map[string]map[string]bool) bool {
	if strings.HasSuffix(name, ".pkt") {
		_, err := os.Stat(filepath.Join("testdata", name))
		return err == nil
	}
	dir, test, ok := strings.Cut(name, ": ")
	if !ok {
		return false
	}
	if tests[dir] == nil {
		tests[dir] = testsOf(filepath.Join("../..", dir))
	}
	return tests[dir][test]
}

// testsOf returns the names of the test functions in a directory.
func testsOf(dir string) map[string]bool {
	names := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// TestConformanceMistakes: rows that must not pass.
func TestConformanceMistakes(t *testing.T) {
	for _, c := range []struct{ label, text, proof, want string }{
		{"MUST-1", "the window field is unsigned", "`windows/no_such.pkt`", "windows/no_such.pkt does not exist"},
		{"MUST-1", "the window field is unsigned", "`tcp: TestNoSuch`", "tcp: TestNoSuch does not exist"},
		{"MUST-1", "the window field is unsigned", "`windows/unsigned`", "windows/unsigned does not exist"},
		{"MUST-1", "the window field is unsigned", "somewhere", "has neither a test nor a reason"},
		{"MUST-1", "the window field is unsigned", "not done: nobody needs large windows", "has to be met"},
		{"SHLD-1", "a keyed function makes numbers", "not done: no", "is not met, without a reason"},
		{"SHLD-1", "x", "`windows/unsigned.pkt`", "says nothing"},
		{"MUST-51", "an open may specify a route", "not done: source routes are an attack", ""},
		{"MUST-1", "the window field is unsigned", "`windows/unsigned.pkt`, `tcp: TestListen_match`", ""},
	} {
		r := requirement{c.label, c.text, c.proof}
		if got := strings.Join(r.mistakes(map[string]map[string]bool{}), "; "); got != c.want {
			t.Errorf("%+v: %q, want %q", r, got, c.want)
		}
	}
}
