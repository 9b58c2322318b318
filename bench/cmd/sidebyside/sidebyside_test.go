package main

import (
	"strings"
	"testing"
	"time"
)

func TestReadWrk(t *testing.T) {
	const text = `Running 1s test @ http://10.99.1.2/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   833.07us    1.01ms  26.61ms   97.33%
  80,123 not a total
  84042 requests in 1.10s, 10.42MB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000
Requests/sec:  76401.82
`
	o, err := readWrk(text)
	if err != nil || o.Operations != 84042 || o.Seconds != 1.1 || o.Failed != 54321 {
		t.Errorf("read %+v, %v; want 84042 requests in 1.1 s and 54321 failures", o, err)
	}
	if _, err := readWrk("unable to connect to 10.99.1.2:http Connection refused"); err == nil {
		t.Error("wrk's failure is a result")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "", 0.125: "0.12", 9.5: "9.50", 12.34: "12.3", 123.4: "123", 1234: "1,230", 77449: "77,400", 1234567: "1,230,000",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is shown as %q, want %q", v, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	upload := func(gbit float64, others float64) []sample {
		return []sample{{outcome{Seconds: 1, Bytes: uint64(gbit * 1e9 / 8), Busy: 1}, others}}
	}
	s := &session{
		field: &field{contenders: []*contender{{name: "gvisor"}, {name: "kernel"}, {name: "tcpd"}}},
		samples: map[string]map[string][]sample{
			"up1": {"gvisor": upload(8, 0), "kernel": upload(32, 0), "tcpd": append(upload(8, 0), append(upload(16, 0.5), upload(99, 0)...)...)},
		},
	}
	text := s.markdown()
	for _, want := range []string{
		"| work | gvisor | kernel | tcpd | tcpd/gvisor | tcpd/kernel |\n",
		"| upload, 1 flow, Gbit/s | 8.00 | 32.0 | 16.0 | **2.00** | **0.50** |\n",
		"| CPU of the machine per GB, 1 upload, s * | 1.00 | 0.25 | 0.25 | **0.25** | **1.00** |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	if n := s.counts(); n != "1 to 3" {
		t.Errorf("medians of %s samples, want 1 to 3", n)
	}
	if strings.Contains(text, "download") {
		t.Errorf("the table has a row of what was not measured:\n%s", text)
	}
	if r := s.remarks(); !strings.Contains(r, "during 1 of 5 samples (up1)") {
		t.Errorf("the remarks do not name the disturbed sample: %s", r)
	}
	s.samples["up1"]["kernel"][0].Failed = 3
	if r := s.remarks(); !strings.Contains(r, "3 operations failed: up1 of kernel") {
		t.Errorf("the remarks do not name what failed: %s", r)
	}
}

// Every row shows a work that exists, and every work is in some row.
func TestRows(t *testing.T) {
	shown := map[string]bool{}
	for _, r := range rows {
		shown[r.work] = true
	}
	for _, w := range allWorks {
		if !shown[w.name] {
			t.Errorf("no row shows %s", w.name)
		}
		delete(shown, w.name)
	}
	for name := range shown {
		t.Errorf("a row shows %s, which nobody measures", name)
	}
}

// The default run ends in time even if every sample is taken again until patience is used up.
func TestTime(t *testing.T) {
	const around = 600 * time.Millisecond // processes, devices, background downloads
	samples := time.Duration(5 * 3 * len(allWorks))
	if d := samples*(850*time.Millisecond+around) + 2*time.Minute; d > 10*time.Minute {
		t.Errorf("a run takes %v", d)
	}
}
