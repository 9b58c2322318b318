package drill

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scripts returns the paths of all scripts in testdata.
func scripts(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "fuzz" {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".pkt") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestScripts runs every script over the families it is for.
func TestScripts(t *testing.T) {
	for _, path := range scripts(t) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".pkt")
		t.Run(name, func(t *testing.T) {
			s, err := Parse(path, string(source))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range s.Families() {
				t.Run(f.String(), func(t *testing.T) {
					r := s.Run(f)
					if err := r.Err(); err != nil {
						t.Fatal(err)
					}
					if testing.Verbose() {
						t.Log("\n" + r.Conversation())
					}
				})
			}
		})
	}
}

// TestEveryScriptSaysWhatItShows: a script begins with a comment, and there is one file for one thing to show.
func TestEveryScriptSaysWhatItShows(t *testing.T) {
	seen := map[string]string{}
	for _, path := range scripts(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if !strings.HasPrefix(text, "// ") {
			t.Errorf("%s does not begin with a comment that says what it shows", path)
		}
		for i, line := range strings.Split(text, "\n") {
			if len(line) > 132 {
				t.Errorf("%s:%d is %d characters long", path, i+1, len(line))
			}
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s are the same", path, other)
		}
		seen[text] = path
	}
}
