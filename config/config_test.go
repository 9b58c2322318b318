package config

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wantGolden compares got with a golden file.
func wantGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; with -update it is rewritten\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func mustParse(t *testing.T, text string, flags ...Flag) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text), flags...)
	if err != nil {
		t.Fatalf("this should be a valid configuration:\n%s\n%v", text, err)
	}
	return c
}

func prefixList(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestDefault(t *testing.T) {
	any := func(name string, port uint16, kind string) Service {
		return Service{Name: name, Listen: netip.AddrPortFrom(netip.Addr{}, port), Kind: kind}
	}
	want := &Config{
		Tun: Tun{
			Name: "tcp0", Mode: "tun", Create: true, Offload: "auto", MTU: 1500,
			Host: prefixList("10.77.0.1/24", "fd77::1/64"), Gateway: []netip.Addr{},
		},
		Addresses: prefixList("10.77.0.2/24", "fd77::2/64"),
		Services: []Service{
			any("echo", 7, "echo"), any("discard", 9, "discard"), any("daytime", 13, "daytime"),
			any("chargen", 19, "chargen"), any("web", 80, "http"),
		},
		Limits: Limits{Connections: 1_000_000, HalfOpen: 4096, Memory: 512 << 20},
		TCP: TCP{
			Congestion: "cubic", Pacing: "auto", NoDelay: true, ECN: "accept", FastOpen: "off", MTUProbing: "blackhole",
			UserTimeout: 15 * time.Minute,
			KeepAlive:   KeepAlive{Enabled: true, Idle: 2 * time.Hour, Interval: 75 * time.Second, Count: 9},
		},
		Recorder: true,
		Log:      Log{Level: "info", Format: "auto"},
		Control:  Control{Socket: "/run/tcpd/control.sock"},
		Shutdown: Shutdown{Drain: 10 * time.Second},
	}
	if got := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the built-in configuration is\n%+v\nwant\n%+v", got, want)
	}
}

// The reference, given as a file, changes nothing: it is the defaults.
func TestReferenceIsTheDefaults(t *testing.T) {
	got := mustParse(t, string(Reference))
	if !got.Control.Chosen {
		t.Error("the control socket should count as chosen: it is in a file")
	}
	got.Control.Chosen = false
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the reference gives\n%+v\nthe defaults are\n%+v", got, want)
	}
}

// The examples that are commented out in the reference are valid, and with them it holds every key.
func TestReferenceHasEveryKey(t *testing.T) {
	example := regexp.MustCompile(`(?m)^  # (- | {2,}\S)`)
	text := example.ReplaceAllString(string(Reference), "  $1")
	text = strings.ReplaceAll(text, ": /srv}", ": "+t.TempDir()+"}")
	mustParse(t, text)

	missing := map[string]bool{}
	d := &decoder{origin: map[string]Location{}, failed: map[string]bool{}}
	d.visit = func(path string, fields map[string]field) {
		for key := range fields {
			missing[join(path, key)] = true
		}
	}
	// A link goes instead of the device, so that the two are not valid together.
	text = regexp.MustCompile(`(?m)^# (link:|  udp:)`).ReplaceAllString(text, "$1")
	d.layer(&Config{}, &source{name: "reference", text: []byte(text)})
	index := regexp.MustCompile(`\[\d+\]`)
	found := map[string]bool{}
	for path := range d.origin {
		found[index.ReplaceAllString(path, "[]")] = true
	}
	for path := range missing {
		if !found[index.ReplaceAllString(path, "[]")] {
			t.Errorf("the reference does not show the key %s", path)
		}
	}
}

// deploy/tcpd.yaml is what packages install.
func TestDeployedReference(t *testing.T) {
	got, err := os.ReadFile("../deploy/tcpd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(Reference) {
		t.Error("deploy/tcpd.yaml is not the reference")
	}
}

func TestBrokenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file)
			if err == nil {
				t.Fatalf("this should be refused, it gave\n%s", c)
			}
			wantGolden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	want := "testdata/none.yaml: cannot read the configuration: no such file or directory\n" +
		"  give the right file with --config, or none for the built-in configuration"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %v", err, want)
	}
	if _, err := Load("testdata"); err == nil {
		t.Error("a directory should be refused")
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil {
		t.Error("a file that is too large should be refused")
	}
}

func TestManyProblemsAreCutShort(t *testing.T) {
	_, err := Parse("test.yaml", []byte("services:\n"+strings.Repeat("- {x: 1}\n", 1000)))
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != maxProblems+1 {
		t.Fatalf("got %d problems, want %d and one that counts the rest", len(problems), maxProblems)
	}
}

func TestLineOfProblem(t *testing.T) {
	_, err := Parse("test.yaml", []byte("tun:\n  mtuu: 1\n"))
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != 1 {
		t.Fatalf("got %v, want one problem", err)
	}
	want := `test.yaml:2:3: unknown key "mtuu" in tun (did you mean "mtu"?)`
	if got := problems[0].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Files from other editors, and empty ones, are fine.
func TestForeignFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"only comments":     "# nothing\n",
		"empty sections":    "tun:\nlog:\n  # level: debug\n",
		"byte order mark":   "\ufefflog: {level: info}\n",
		"carriage returns":  "log:\r\n  level: info\r\ntun:\r\n  mtu: 1500\r\n",
		"directive":         "%YAML 1.2\n---\nlog: {level: info}\n",
		"end of document":   "log: {level: info}\n...\n",
		"kinds without {}":  "services:\n- name: echo\n  listen: :7\n  echo:\n",
		"off instead of []": "tcp:\n  keepalive: off\n",
	} {
		t.Run(name, func(t *testing.T) { mustParse(t, text) })
	}
}

func TestHostIsDerived(t *testing.T) {
	for _, test := range []struct{ addresses, want []netip.Prefix }{
		{prefixList("10.0.0.2/24"), prefixList("10.0.0.1/24")},
		{prefixList("10.0.0.1/24"), prefixList("10.0.0.2/24")},
		{prefixList("10.0.0.1/24", "10.0.0.2/24"), prefixList("10.0.0.3/24")},
		{prefixList("192.0.2.6/31"), prefixList("192.0.2.7/31")},
		{prefixList("fd00::1/64", "10.0.0.9/30"), prefixList("fd00::2/64", "10.0.0.10/30")},
		{prefixList("fd00::1/127"), prefixList("fd00::/127")},
		{prefixList("10.0.0.2/24", "10.0.1.2/16"), prefixList("10.0.0.1/24", "10.0.0.3/16")}, // networks of different lengths
		{prefixList("10.0.1.2/16", "10.0.0.2/24"), prefixList("10.0.0.1/16")},
		{prefixList("10.0.0.2/30", "10.0.0.5/29"), prefixList("10.0.0.1/30", "10.0.0.4/29")}, // 10.0.0.3 is broadcast of the /30
	} {
		f := Flag{Name: "--addr", Key: "addresses", List: true}
		for _, a := range test.addresses {
			f.Values = append(f.Values, a.String())
		}
		if got := mustParse(t, "", f).Tun.Host; !slices.Equal(got, test.want) {
			t.Errorf("with addresses %v the kernel gets %v, want %v", test.addresses, got, test.want)
		}
	}
}

// A network whose addresses are all taken, also by what was derived before, is what the error is about.
func TestHostWithoutRoom(t *testing.T) {
	_, err := Parse("test.yaml", []byte("addresses: [10.0.0.1/29, 10.0.0.5/30]\n"))
	if err != nil {
		t.Errorf("10.0.0.6 is free: %v", err)
	}
	_, err = Parse("test.yaml", []byte("addresses: [10.0.0.5/30, 10.0.0.9/30, 10.0.0.10/30]\n"))
	if want := "test.yaml:1:26: addresses[1]: the network of 10.0.0.9/30 has no address left"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Flags go over the file, the file over the defaults.
func TestLayers(t *testing.T) {
	c := mustParse(t, "tun: {name: file0, mtu: 9000}\nlog: {level: debug}\n",
		Flag{Name: "--tun", Key: "tun.name", Values: []string{"flag0"}},
		Flag{Name: "--create", Key: "tun.create", Values: []string{"false"}})
	if c.Tun.Name != "flag0" || c.Tun.MTU != 9000 || c.Log.Level != "debug" || c.Log.Format != "auto" {
		t.Errorf("name, MTU, level, format are %q, %d, %q, %q; want flag0 from the flag, 9000 and debug from the file, auto by default",
			c.Tun.Name, c.Tun.MTU, c.Log.Level, c.Log.Format)
	}
	if c.Tun.Create || c.Tun.Host != nil {
		t.Errorf("create is %v with host %v: without create there are no addresses to set", c.Tun.Create, c.Tun.Host)
	}
}

func TestFlagProblem(t *testing.T) {
	_, err := Parse("test.yaml", nil, Flag{Name: "--mtu", Key: "tun.mtu", Values: []string{"70000"}})
	want := "--mtu 70000: tun.mtu: 70000 is out of range: 576 to 65535 bytes\n  choose a number in that range"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %v", err, want)
	}
}

func TestWarnings(t *testing.T) {
	c := mustParse(t, "tun: {create: false, host: [10.0.0.1/24]}\nservices: []\n")
	if len(c.Warnings) != 2 {
		t.Errorf("got warnings %v, want one about tun.host and one about services", c.Warnings)
	}
}

// What is said of the device is unused with a link.
func TestLinkWarnings(t *testing.T) {
	c := mustParse(t, "link: 'udp:127.0.0.1:7001,127.0.0.1:7002'\ntun: {mode: tap, create: false, queues: 2, offload: on, mtu: 9000, host: [10.0.0.1/24]}\n")
	var about []string
	for _, w := range c.Warnings {
		key, _, _ := strings.Cut(w.What, ": unused, as packets go through the link")
		about = append(about, key)
	}
	if want := []string{"tun.mode", "tun.create", "tun.queues", "tun.offload", "tun.mtu", "tun.host"}; !slices.Equal(about, want) {
		t.Errorf("the warnings are about %q, want %q", about, want)
	}
}

// What a relative path means depends on where the daemon is started: it works, and is told of.
func TestRelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("www", 0o755); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, "services: [{name: a, listen: ':80', http: {root: www}}]\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "services[0].http.root") {
		t.Errorf("got warnings %v, want one about services[0].http.root", c.Warnings)
	}
}

// A service has what its own tcp says, and the rest from the section, wherever in the file that stands.
func TestServiceTCP(t *testing.T) {
	c := mustParse(t, "services:\n- {name: far, listen: ':80', echo: {}, tcp: {congestion: bbr}}\n- {name: near, listen: ':81', echo: {}}\n"+
		"tcp: {congestion: reno, user_timeout: 1m}\n")
	far, near := c.Services[0], c.Services[1]
	if !far.OwnTCP || far.TCP.Congestion != "bbr" || far.TCP.UserTimeout != time.Minute || !far.TCP.NoDelay {
		t.Errorf("far has %+v", far.TCP)
	}
	if near.OwnTCP || near.TCP != (TCP{}) {
		t.Errorf("near has %+v", near.TCP)
	}
	_, err := Parse("short.yaml", []byte("services:\n- {name: a, listen: ':80', echo: {}, tcp: {user_timeout: 10ms}}\n"))
	if err == nil || !strings.Contains(err.Error(), "services[0].tcp.user_timeout: 10ms is too short") {
		t.Errorf("got %v", err)
	}
}

// The kernel has addresses on a TAP only if somebody wants that: it is one host among others, or none.
func TestTAPHost(t *testing.T) {
	both := prefixList("10.77.0.1/24", "fd77::1/64")
	for text, want := range map[string][]netip.Prefix{
		"tun: {mode: tap}":                                                    both,
		"tun: {mode: tap, bridge: br0}":                                       nil,
		"tun: {mode: tap, gateway: [10.77.0.254]}":                            nil,
		"tun: {mode: tap}\naddresses: [10.0.0.2/24]":                          nil,
		"tun: {mode: tap, host: [10.0.0.1/24]}\naddresses: [10.0.0.2/24]":     prefixList("10.0.0.1/24"),
		"tun: {mode: tap, create: false, host: []}\naddresses: [10.0.0.2/24]": nil,
	} {
		if got := mustParse(t, text).Tun.Host; !slices.Equal(got, want) {
			t.Errorf("%q: host %v, want %v", text, got, want)
		}
	}
}

// What String writes is the same configuration when loaded again.
func TestStringRoundTrip(t *testing.T) {
	for _, text := range []string{
		"",
		"recorder: off\nservices:\n- {name: a, listen: '10.77.0.2:0', echo: {}}\n- {name: b, listen: ':0', echo: {}}\n",
		"tun: {create: false, queues: 2, offload: off}\nservices: []\nmetrics: {listen: ':9320'}\n",
		"tun: {mode: tap}\n",
		"tun: {mode: tap, mac: '02:00:5e:10:00:01', bridge: br0, gateway: [10.0.0.1, 'fe80::1']}\naddresses: [10.0.0.2/24, 'fd00::2/64']\n",
		"tun: {mode: tap, create: false, bridge: br0}\naddresses: [10.0.0.2/24]\n",
		"link: {udp: {listen: ':7001', any: true, mtu: 1400}}\nimpair: {loss: 0.1%, delay: 20ms, jitter: 5ms, rate: 1.5gbit, queue: 1MiB, seed: 7, prefix: 10.77.0.2, port: 80}\n",
		"link: 'udp:127.0.0.1:7001,127.0.0.1:7002'\nimpair: {duplicate: 1%, reorder: 2%, corrupt: 100%}\n",
		"tcp: {keepalive: off, user_timeout: 1m30s, receive_buffer: 4MiB, send_buffer: 64kB, congestion: reno, nodelay: false}\n",
		"services:\n- {name: a, listen: ':80', http: {body: \"\\\"x\\\" \\u00e9\\n\"}}\n" +
			"- {name: b, listen: '[fd77::2]:81', proxy: {to: 'unix:/run/x y.sock', proxy_protocol: v1, dial_timeout: 90s, pending: 3}}\n" +
			"- {name: e, listen: ':84', echo: {}, tcp: {congestion: bbr, keepalive: off}}\n" +
			"- {name: 'null', listen: ':85', echo: {}}\n- {name: 'true', listen: ':86', echo: {}}\n- {name: 'on', listen: ':87', echo: {}}\n" +
			"- {name: c, listen: ':82', datagram: {}}\n" +
			"- {name: d, listen: ':83', datagram: {to: 'udp:[::1]:53', idle_timeout: 90s, answer_wait: 500ms, max_answer: 512}}\n",
	} {
		wantSame(t, mustParse(t, text))
	}
}

func wantSame(t *testing.T, c *Config) {
	t.Helper()
	again, err := Parse("printed.yaml", []byte(c.String()))
	if err != nil {
		t.Fatalf("the printed configuration is refused:\n%s\n%v", c, err)
	}
	again.Control.Chosen, again.Warnings = c.Control.Chosen, c.Warnings
	if len(again.Tun.Host) == 0 {
		again.Tun.Host = c.Tun.Host
	}
	if !reflect.DeepEqual(again, c) {
		t.Errorf("printed and loaded again it is\n%+v\nwas\n%+v", again, c)
	}
}

// TestDirectoriesOfNoUse: what the daemon's user may not read, or not write to, would end the service when it begins.
func TestDirectoriesOfNoUse(t *testing.T) {
	top := t.TempDir()
	for dir, mode := range map[string]os.FileMode{filepath.Dir(top): 0o755, top: 0o755, top + "/shut": 0, top + "/read": 0o555, top + "/all": 0o777} {
		_ = os.Mkdir(dir, 0o700)
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	user := os.Geteuid()
	if user == 0 {
		user = nobody // root may do everything
	}
	denied := fmt.Sprintf("permission denied, as user %d", user)
	for settings, want := range map[string]string{
		"http: {root: %s/shut}": denied, "http: {root: %s/read}": "", "sink: {dir: %s/all}": "",
		"sink: {dir: %s/shut}": denied, "sink: {dir: %s/read}": "ReadWritePaths",
	} {
		text := fmt.Sprintf("services:\n- {name: x, listen: ':1', "+settings+"}\n", top)
		var err error
		as(t, user, func() { _, err = Parse("test.yaml", []byte(text)) })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}

const nobody = 65534

// as runs f on a thread of a user, which ends with it.
func as(t *testing.T, user int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		const keep = ^uintptr(0)
		_, _, failed := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(user), keep)
		if failed == 0 {
			f()
		}
		done <- failed
	}()
	if err := <-done; err != syscall.Errno(0) {
		t.Fatal(err)
	}
}
