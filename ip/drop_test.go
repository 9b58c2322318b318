package ip

import (
	"regexp"
	"testing"
)

func TestDrop_labels(t *testing.T) {
	label := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[string]Drop{}
	for d := range NumDrops {
		s := d.String()
		if !label.MatchString(s) {
			t.Errorf("reason %d: %q is not a metric label", d, s)
		}
		if other, dup := seen[s]; dup {
			t.Errorf("reasons %d and %d are both called %q", other, d, s)
		}
		seen[s] = d
	}
	if s := NumDrops.String(); s != "unknown" {
		t.Errorf("a reason out of range is called %q", s)
	}
	for k := range numICMPKinds {
		if !label.MatchString(k.String()) {
			t.Errorf("ICMP kind %d: %q is not a metric label", k, k)
		}
	}
	if s := numICMPKinds.String(); s != "unknown" {
		t.Errorf("an ICMP kind out of range is called %q", s)
	}
}
