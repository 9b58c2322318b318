package config

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse: whatever the file holds, it is either a configuration that survives printing, or refused with a place.
func FuzzParse(f *testing.F) {
	f.Add(Reference)
	f.Add([]byte("services:\n- {name: 'null', listen: ':85', echo: {}}\n"))
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz.yaml", text)
		if err != nil {
			if problems, ok := err.(Errors); !ok || len(problems) == 0 || problems.Error() == "" {
				t.Fatalf("an error without a problem: %#v", err)
			}
			return
		}
		wantSame(t, c)
	})
}
