package drill

import (
	"errors"
	"os"
	"testing"
)

// TestSyntaxErrors: each with its place.
func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"", "s:1:1: the script has no events"},
		{"// only a comment\n", "s:2:1: the script has no events"},
		{"/* no end", "s:1:1: the comment has no end"},
		{"0 `sysctl", "s:1:3: the command has no end"},
		{"0 %{ assert 1", "s:1:3: the code has no end"},
		{"0 write(3, \"abc", "s:1:12: the string has no end"},
		{"--no_such", "s:1:1: --no_such is not an option of this runner"},
		{"--mtu=x\n0 close(3) = 0", "s:1:7: --mtu: want a number, got x"},
		{"--mtu=20\n0 close(3) = 0", "s:1:7: --mtu: 20 is not between 68 and 65535"},
		{"--ip_version=ipv5", "s:1:14: --ip_version: want ipv4 or ipv6, got ipv5"},
		{"close(3) = 0", "s:1:1: want a time in seconds, got close"},
		{"-1 close(3) = 0", "s:1:1: the time -1 is negative"},
		{"0.1234567891 close(3) = 0", "s:1:1: the time 0.1234567891 is too long"},
		{"0 ]", "s:1:3: want a packet, a call, a command or code after the time, got ]"},
		{"* close(3) = 0", "s:1:1: only packets that leave can have * or a range as their time"},
		{"0~1 < . 1:1(0) ack 1", "s:1:1: only packets that leave can have * or a range as their time"},
		{"+1~2 > . 1:1(0) ack 1", "s:1:4: a range of time that begins relative ends so: want +, got 2"},
		{"2~1 > . 1:1(0) ack 1", "s:1:1: the range of time ends before it begins"},
		{"1...0.5 connect(3, ..., ...) = 0", "s:1:1: the range of time ends before it begins"},
		{"0 < Q 0:0(0)", "s:1:5: 'Q' is not a flag; they are SFRP.UEW, or - for none"},
		{"0 < PX. 0:0(0) ack 1", "s:1:6: 'X' is not a flag; they are SFRP.UEW, or - for none"},
		{"0 < 0:0(0)", "s:1:5: want flags (SFRP.UEW or -), got 0"},
		{"0 < S 0(0)", `s:1:8: sequence numbers: want ":", got (`},
		{"0 < S x:0(0)", "s:1:7: sequence number: want a number, got x"},
		{"0 < P. 1:10(10) ack 1", "s:1:8: 1:10 is not 10 bytes long"},
		{"0 < S 5000000000:0(0)", "s:1:7: sequence number: 5000000000 is not between 0 and 4294967295"},
		{"0 < . 1:1(0)", "s:1:13: the flag . is set: want ack and a number, got the end of the script"},
		{"0 > S 1:1(0) ack 1", "s:1:14: an ack without the flag . never leaves"},
		{"0 < S 0:0(0) win 70000", "s:1:18: win: 70000 is not between 0 and 65535"},
		{"0 < S 0:0(0) <...>", "s:1:14: <...> is an expectation: a packet that arrives has options or none"},
		{"0 < S 0:0(0) <mss>", "s:1:18: option: want a number, got >"},
		{"0 < S 0:0(0) <mss 1000,ssackOK>", "s:1:24: ssackOK is not an option: mss, wscale, sackOK, sack, TS, FO, nop, eol, bytes"},
		{"0 < S 0:0(0) <mss 1000", `s:1:23: options: want ">", got the end of the script`},
		{"0 < . 1:1(0) ack 1 <TS 1 ecr 2>", `s:1:24: TS: want "val", got 1`},
		{"0 < . 1:1(0) ack 1 <sack 1:2 3:4 5:6 7:8 9:10>", "s:1:20: the options take 42 bytes; a header has room for 40"},
		{"0 < S 0:0(0) <bytes 0x2>", "s:1:21: bytes: want bytes in hexadecimal, got 0x2"},
		{"0 < [ect01] . 1:1(0) ack 1", "s:1:6: ect01 is an expectation: it cannot arrive"},
		{"0 > [ecn] . 1:1(0) ack 1", "s:1:6: want noecn, ect0, ect1, ect01, ce, tos or ttl in the brackets, got ecn"},
		{"0 > [ttl 300] . 1:1(0) ack 1", "s:1:10: ttl: 300 is not between 1 and 255"},
		{"0 < 70000 > 80 S 0:0(0)", "s:1:5: source port: 70000 is not between 1 and 65535"},
		{"0 > icmp unreachable", "s:1:5: a table sends no ICMP"},
		{"0 < icmp reachable", "s:1:10: reachable is not a type of ICMP: unreachable, packet_too_big, time_exceeded, parameter_problem, source_quench"},
		{"0 < icmp unreachable far [1:1(0)]", "s:1:22: far is not a code of unreachable"},
		{"0 epoll_wait(3) = 0", "s:1:3: epoll_wait is not a call that this runner knows"},
		{"0 close 3 = 0", `s:1:9: close: want "(", got 3`},
		{"0 close() = 0", "s:1:3: close has 1 arguments, not 0"},
		{"0 close(3)", `s:1:11: close: want "=", got the end of the script`},
		{"0 close(3) = 0 ENONSENSE", "s:1:16: ENONSENSE is not an errno that this runner knows"},
		{"0 read(3, ..., 1) = 0 EAGAIN", "s:1:3: read fails with EAGAIN: its result is -1"},
		{"0 read(3, ..., 1) = -1 EAGAIN (Try", "s:1:35: the note has no end"},
		{"0 %{ }%", "s:1:3: the code has no assertion"},
		{"0 %{ x = tcpi_rtt }%", "s:1:6: the code consists of assertions; want assert or print, got x"},
		{"0 %{ assert sqrt(4) == 2 }%", "s:1:13: sqrt is not a function that this runner knows: abs, min, max, int"},
		{"0 writev(3, 5, 1) = 5", "s:1:3: writev: want pieces like [{..., 10}]"},
		{"0 sendmsg(3, {msg_flags=0}, 0) = 5", "s:1:3: sendmsg: want pieces like [{..., 10}]"},
		{"0 %{\nassert tcpi_rtt >\n}%", "s:3:1: want a number or a name, got the end of the script"},
		{"0 %{ assert tcpi_nonsense == 1 }%", "s:1:13: tcpi_nonsense is not a fact about a connection that this runner knows"},
		{"0 %{ assert (1 == 1 }%", `s:1:21: expression: want ")", got the end of the script`},
		{"`reboot`\n0 close(3) = 0", `s:1:1: "reboot" is not sysctl: this runner runs no shell`},
		{"0 `sysctl -q net.ipv4.tcp_x=1`", "s:1:3: the setting net.ipv4.tcp_x has no counterpart here"},
		{"0 `sysctl -q net.ipv4.tcp_sack=0`", "s:1:3: net.ipv4.tcp_sack=0: a table does not do this; it behaves like [1]"},
		{"0 `sysctl -q net.ipv4.tcp_rmem=x`", `s:1:3: net.ipv4.tcp_rmem=x: "x" is not a number`},
		{"0 `sysctl -q net.ipv4.tcp_rmem`", `s:1:3: "net.ipv4.tcp_rmem" sets nothing: want name=value`},
		{"0 `sysctl -q net.ipv4.tcp_congestion_control=vegas`", "s:1:3: vegas is not a congestion control of this stack"},
	} {
		_, err := Parse("s", c.script)
		if err == nil {
			t.Errorf("%q: no error, want %q", c.script, c.want)
			continue
		}
		var e *SyntaxError
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%q:\nwant %s\n got %v", c.script, c.want, err)
		}
	}
}

// TestExpressions: operators bind as in Python.
func TestExpressions(t *testing.T) {
	for source, want := range map[string]int64{
		"1 + 2 * 3 == 7": 1, "not 1 == 2": 1, "1 == 2 or 2 == 2 and 3 == 4": 0, "10 / 3": 3, "(1 + 2) * 3": 9, "6 & 3": 2,
		"1 < 2": 1, "2 <= 1": 0, "2 >= 2": 1, "1 != 1": 0, "- 4 + 5": 1, "0x10": 16, "1 / 0": 0, "not 0 and not 1 > 2": 1, "7 - 3": 4,
		"1 < 2 < 3": 1, "1 < 3 < 2": 0, "3 > 2 == 2": 1, "2 == 2 != 2": 0, "7 // 2": 3, "-7 // 2": -4, "-7 % 3": 2, "7 % 0": 0, "1 << 4 | 1": 17,
		"6 ^ 3": 5, "5 >> 1": 2, "~0": -1, "abs(3 - 5) <= 2": 1, "min(3, 1, 2)": 1, "max(3, 1) == 3": 1, "int(7)": 7, "True": 1, "False": 0,
		"1, 'one is %d' % (1, 2)": 1, "0, \"a // b\"": 0, "1 # a comment // in it": 1,
	} {
		s, err := Parse("s", "0 %{ assert "+source+" }%")
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.events[0].action.(code)[0].expr.eval(nil); got != want {
			t.Errorf("%s: want %d, got %d", source, want, got)
		}
	}
}

// FuzzParse: whatever the text, Parse returns a script or a SyntaxError.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/handshake/passive.pkt"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(established + "+0...0.5 read(4, ..., 10) = 10\n*  > P. 1:11(10) ack 1 <...>")
	f.Add("--mtu=1400\n`sysctl -q net.ipv4.tcp_rmem=\"1 2 3\"`\n0 < icmp unreachable frag_needed mtu 1300 [1:2(1)]")
	f.Fuzz(func(t *testing.T, source string) {
		s, err := Parse("s", source)
		var e *SyntaxError
		if err != nil {
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		if len(s.events) == 0 {
			t.Fatal("a script without events")
		}
	})
}
