package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	sampleLine = regexp.MustCompile(`^([a-z][a-z0-9_]*)(\{[a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*\})? (\S+)$`)
	helpLine   = regexp.MustCompile(`^# HELP ([a-z0-9_]+) \S.*\.$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z0-9_]+) (counter|gauge)$`)
)

// lint checks an exposition as Prometheus' promlint would, and returns the families with their types.
func lint(t *testing.T, text string) (families []string) {
	t.Helper()
	name, kind := "", ""
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := helpLine.FindStringSubmatch(line); m != nil {
			name, kind = m[1], ""
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			kind = m[2]
			if m[1] != name || seen[name] {
				t.Errorf("the type of %s is not right behind its help, or comes twice", m[1])
			}
			seen[name] = true
			if strings.HasSuffix(name, "_total") != (kind == "counter") {
				t.Errorf("%s is a %s: counters, and only they, end in _total", name, kind)
			}
			families = append(families, name+" "+kind)
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || m[1] != name || kind == "" || seen[m[1]+m[2]] && m[2] != "" {
			t.Errorf("not a sample of family %s, or for the second time: %s", name, line)
			continue
		}
		seen[m[1]+m[2]] = true
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	return families
}

// The names are a promise: they are in a golden file.
func TestMetricNames(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	wantEcho(t, s.mustDial("10.77.0.2:7"), "hi")
	var e exposition
	s.d.expose(&e)
	families := lint(t, e.b.String())
	slices.Sort(families)
	wantGolden(t, "testdata/metrics.golden", strings.Join(families, "\n")+"\n")
	for _, sample := range []string{
		"tcpd_ready 1", "tcpd_link_up 1", "tcpd_tcp_accepted_total 1", `tcpd_tcp_connections{kind="connection"} 1`,
		`tcpd_service_accepted_total{service="echo"} 1`, `tcpd_service_active{service="echo"} 1`,
		`tcpd_drops_total{layer="tcp",reason="tcp_checksum"} 0`, `tcpd_drops_total{layer="ip",reason="ipv4_checksum"} 0`,
	} {
		if !strings.Contains(e.b.String(), sample+"\n") {
			t.Errorf("the metrics do not contain %s", sample)
		}
	}
}

// Attack class D06: whatever clients do, the number of series stays.
func TestMetricSeriesDoNotGrow(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	count := func() int {
		var e exposition
		s.d.expose(&e)
		return strings.Count(e.b.String(), "\n")
	}
	before := count()
	for i := range 20 {
		wantEcho(t, s.mustDial(at(ownAddresses[i%2], 7)), "hi")
		_, _ = s.dial(at(ownAddresses[i%2], uint16(1000+i)))
	}
	if after := count(); after != before {
		t.Errorf("%d lines became %d", before, after)
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	var e exposition
	e.sample("x", 1.5, "a", "b\"c\\d\ne", "f", "g")
	if got, want := e.b.String(), `x{a="b\"c\\d\ne",f="g"} 1.5`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// Counts go on over reloads, with connections of the old service and of the new.
func TestServiceCountsSurviveReloads(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("web", 80, "http: {body: x0}"))
	for i := range 3 {
		s.get("10.77.0.2:80")
		if _, err := s.reload("services:\n" + serviceLine("web", 80, fmt.Sprintf("http: {body: x%d}", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	s.get("10.77.0.2:80")
	if got := s.d.services.counts()[0].counts.Accepted; got != 4 {
		t.Errorf("%d connections were accepted, want 4", got)
	}
}

func TestHealth(t *testing.T) {
	s := newSetup(t, "services: []\nmetrics: {listen: '127.0.0.1:0'}\n")
	server, err := s.d.openMetrics()
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	server.start(s.d.log)
	get := func(path string) string {
		response, err := http.Get("http://" + server.listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return fmt.Sprintf("%d %s", response.StatusCode, strings.TrimSpace(string(body)))
	}
	for path, want := range map[string]string{"/livez": "200 ok", "/readyz": "200 ok", "/x": "404 404 page not found"} {
		if got := get(path); got != want {
			t.Errorf("%s gives %q, want %q", path, got, want)
		}
	}
	lint(t, strings.TrimPrefix(get("/metrics"), "200 "))
	s.d.drain(t.Context())
	if got := get("/readyz"); got != "503 stopping" {
		t.Errorf("while stopping, /readyz gives %q", got)
	}
	if got := get("/livez"); got != "200 ok" {
		t.Errorf("while stopping, /livez gives %q", got)
	}
}
