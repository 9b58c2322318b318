package whole

import (
	"os"
	"path/filepath"
	"testing"
)

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestCreate_namesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "data")
	if _, err := Create(path, 0o640); err == nil || err.Error() != "create "+path+": no such file or directory" {
		t.Error(err)
	}
}

func TestFileAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("before the end the file holds %q, want what it held", b)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	info, err := os.Stat(path)
	if b, _ := os.ReadFile(path); err != nil || string(b) != "new" || info.Mode().Perm() != 0o640 {
		t.Errorf("after it the file holds %q with mode %v (%v), want new, 0640", b, info.Mode(), err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the directory holds %v, want data only", got)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "data"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("the directory holds %v, want nothing", got)
	}
}

func TestCreateNeedsTheDirectory(t *testing.T) {
	if f, err := Create(filepath.Join(t.TempDir(), "missing", "data"), 0o600); err == nil {
		f.Discard()
		t.Error("a file was begun in a directory that is not there")
	}
}
