package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestAstray(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24"), netip.MustParsePrefix("10.77.0.3/24"), netip.MustParsePrefix("fd77::2/64")}
	routes := map[string]string{"10.77.0.2": "tcp1", "10.77.0.3": "lo"}
	routeTo := func(a netip.Addr) (string, error) {
		if via := routes[a.String()]; via != "" {
			return via, nil
		}
		return "", errors.New("network is unreachable")
	}
	text := astray(own, "tcp1", routeTo)
	if !strings.Contains(text, "not to tcp1: 10.77.0.3 (through lo). ") {
		t.Errorf("one is the kernel's own: %q", text)
	}
	routes["10.77.0.3"] = "tcp1"
	if text := astray(own, "tcp1", routeTo); text != "" {
		t.Errorf("an address without a route is nobody else's: %q", text)
	}
}
