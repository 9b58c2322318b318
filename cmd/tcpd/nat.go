package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// nat: others do not know the way to private addresses.
func (e *examiner) nat() {
	rules, err := e.s.ruleset()
	var found []natRule
	if err == nil {
		found, err = natRules(rules)
	}
	first := true
	for _, p := range e.c.Addresses {
		p = p.Masked()
		switch {
		case !p.Addr().IsPrivate():
			e.d.add("nat", right, fmt.Sprintf("%v is no private network: others need a route to it", p))
		case err != nil:
			e.d.add("nat", unknown, fmt.Sprintf("NAT for %v could not be checked: %v", p, err))
		case covered(found, p):
			e.d.add("nat", right, fmt.Sprintf("a rule translates what comes from %v", p))
		default:
			e.d.add("nat", missing, fmt.Sprintf("no rule translates what comes from %v: others do not know the way back", p), e.natFix(p, first)...)
			first = false
		}
	}
}

// natFix returns the commands for a network; the first also make the place for the rules.
func (e *examiner) natFix(p netip.Prefix, first bool) (fix []string) {
	if first {
		fix = []string{
			"nft add table inet tcpd",
			"nft 'add chain inet tcpd postrouting { type nat hook postrouting priority srcnat; }'",
		}
	}
	family := "ip"
	if p.Addr().Is6() {
		family = "ip6"
	}
	return append(fix, fmt.Sprintf(`nft 'add rule inet tcpd postrouting %s saddr %v oifname != "%s" masquerade'`, family, p, e.c.Tun.Name))
}

// natRule is a rule that translates source addresses.
type natRule struct {
	family string         // ip, ip6 or inet
	from   []netip.Prefix // sources it is for; none: all
}

// natRules finds them in what `nft -j list ruleset` prints (libnftables-json(5)).
func natRules(text []byte) ([]natRule, error) {
	var all struct {
		Nftables []struct {
			Rule *struct {
				Family string                       `json:"family"`
				Expr   []map[string]json.RawMessage `json:"expr"`
			} `json:"rule"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("nft printed something else than JSON: %w", err)
	}
	var found []natRule
	for _, item := range all.Nftables {
		if item.Rule == nil {
			continue
		}
		r, translates := natRule{family: item.Rule.Family}, false
		for _, x := range item.Rule.Expr {
			if x["masquerade"] != nil || x["snat"] != nil {
				translates = true
			}
			if p, ok := sourceOf(x["match"]); ok {
				r.from = append(r.from, p)
			}
		}
		if translates {
			found = append(found, r)
		}
	}
	return found, nil
}

// sourceOf returns the sources that a match lets pass, and whether it is about sources. A set or a negation is one that this
// does not understand: a prefix that covers nothing.
func sourceOf(match json.RawMessage) (netip.Prefix, bool) {
	var m struct {
		Op   string `json:"op"`
		Left struct {
			Payload struct {
				Field string `json:"field"`
			} `json:"payload"`
		} `json:"left"`
		Right json.RawMessage `json:"right"`
	}
	if json.Unmarshal(match, &m) != nil || m.Left.Payload.Field != "saddr" {
		return netip.Prefix{}, false
	}
	var prefix struct {
		Prefix struct {
			Addr netip.Addr `json:"addr"`
			Len  int        `json:"len"`
		} `json:"prefix"`
	}
	var single netip.Addr
	switch {
	case m.Op != "==":
	case json.Unmarshal(m.Right, &single) == nil:
		return netip.PrefixFrom(single, single.BitLen()), true
	case json.Unmarshal(m.Right, &prefix) == nil:
		return netip.PrefixFrom(prefix.Prefix.Addr, prefix.Prefix.Len), true
	}
	return netip.Prefix{}, true
}

// covered reports whether a rule translates all of p.
func covered(rules []natRule, p netip.Prefix) bool {
	family := "ip"
	if p.Addr().Is6() {
		family = "ip6"
	}
	for _, r := range rules {
		fits := r.family == family || r.family == "inet"
		for _, from := range r.from {
			fits = fits && from.IsValid() && from.Bits() <= p.Bits() && from.Contains(p.Addr())
		}
		if fits {
			return true
		}
	}
	return false
}
