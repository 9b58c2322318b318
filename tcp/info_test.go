package tcp

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestInfo_isDocumented: docs/info.md names every field of Info, and none that there is not.
func TestInfo_isDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/info.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "\n## ")
	if !ok {
		t.Fatal("docs/info.md has no section")
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(table, -1) {
		named[m[1]] = true
	}
	info := reflect.TypeFor[Info]()
	for i := range info.NumField() {
		name := info.Field(i).Name
		if !named[name] {
			t.Errorf("docs/info.md does not name %s: say which field of TCP_INFO it stands for, or what it tells", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("docs/info.md names %s, which Info does not have", name)
	}
}
