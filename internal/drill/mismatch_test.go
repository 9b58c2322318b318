package drill

import (
	"strings"
	"testing"
)

const established = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 700 ecr 0,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,TS val 100 ecr 700,nop,wscale 7>
+.1 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 800 ecr 100>
+0 accept(3, ..., ...) = 4
`

// TestMismatches runs scripts that must fail, each with what it has to say.
func TestMismatches(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"flags", "+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1 <...>", "want flags ., got P."},
		{"sequence", "+0 write(4, ..., 10) = 10\n+0 > P. 2:12(10) ack 1 <...>", "want 2:12(10), got 1:11(10)"},
		{"length", "+0 write(4, ..., 10) = 10\n+0 > P. 1:10(9) ack 1 <...>", "want 1:10(9), got 1:11(10)"},
		{"ack", "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 2 <...>", "want ack 2, got 1"},
		{"window", "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 7 <...>", "want win 7, got 512"},
		{"no options", "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1", "want options <>, got <TS val 200 ecr 800>"},
		{"options", "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val 200 ecr 801>", "want options <TS val 200 ecr 801>"},
		{"missing option", "+0 < P. 2:12(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n" +
			"+0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 800>", "got <TS val 200 ecr 800,sack 2:12>"},
		{"sack order", "+0 < P. 11:21(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n+0 > . 1:1(0) ack 1 <...>\n" +
			"+0 < P. 31:41(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n" +
			"+0 > . 1:1(0) ack 1 <TS val 200 ecr 800,sack 11:21 31:41>", "sack 31:41 11:21"},
		{"nothing left", "+0 > P. 1:11(10) ack 1 <...>", "nothing left until 0.104"},
		{"too late", "+0 < P. 2:12(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n+0 > . 1:1(0) ack 1 <...>\n" +
			"+.02 > . 1:1(0) ack 1 <...>", "nothing left until 0.124"},
		{"too early", "+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1 <...>", "it left at 0.100000, not at 0.200000"},
		{"too early for a range", "+0 write(4, ..., 10) = 10\n+.1~+.2 > P. 1:11(10) ack 1 <...>", "not from 0.200000 to 0.300000"},
		{"nobody expects it", "+0 write(4, ..., 10) = 10", "P. 1:11(10) ack 1 win 512 <TS val"},
		{"ecn", "+0 write(4, ..., 10) = 10\n+0 > [ce] P. 1:11(10) ack 1 <...>", "want ce, got noecn"},
		{"ect01", "+0 write(4, ..., 10) = 10\n+0 > [ect01] P. 1:11(10) ack 1 <...>", "want ect0 or ect1, got noecn"},
		{"ttl", "+0 write(4, ..., 10) = 10\n+0 > [ttl 3] P. 1:11(10) ack 1 <...>", "want ttl 3, got 64"},
		{"tos", "+0 write(4, ..., 10) = 10\n+0 > [tos 0x10] P. 1:11(10) ack 1 <...>", "want tos 16, got 0"},
		{"urgent", "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 urg 5 <...>", "want urg 5, got 0"},
		{"result", "+0 read(4, ..., 10) = 10", "read blocks"},
		{"bytes read", "+0 < P. 1:11(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n+0 read(4, ..., 10) = 11\n" +
			"+0 > . 1:1(0) ack 11 <...>", "read: want 11, got 10"},
		{"errno", "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 read(4, ..., 10) = -1 ECONNRESET (Connection reset)",
			"read: want -1 ECONNRESET, got -1 EAGAIN"},
		{"unexpected errno", "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 read(4, ..., 10) = 0", "read: want 0, got -1 EAGAIN"},
		{"no such socket", "+0 write(9, ..., 10) = 10", "want 10, got -1 EBADF"},
		{"returns early", "+0...0.5 read(4, ..., 10) = 10\n+.1 < P. 1:11(10) ack 1 win 257 <nop,nop,TS val 800 ecr 100>\n" +
			"+0 > . 1:1(0) ack 11 <...>\n", "read returned at 0.200000, not at 0.600000"},
		{"never returns", "+0...0.5 read(4, ..., 10) = 10", "read has not returned by 0.600000"},
		{"assertion", "+0 %{ assert tcpi_snd_cwnd == 11 and tcpi_state == TCP_ESTABLISHED }%",
			"assert tcpi_snd_cwnd == 11 and tcpi_state == TCP_ESTABLISHED: [tcpi_snd_cwnd is 10 tcpi_state is 1]"},
		{"ioctl", "+0 ioctl(4, SIOCINQ, [3]) = 0", "SIOCINQ: want 3, got 0"},
		{"SO_ERROR", "+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [ETIMEDOUT], [4]) = 0", "SO_ERROR: want ETIMEDOUT, got 0"},
		{"socket option", "+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [500], 4) = 0", "setsockopt: want 0, got -1 ENOPROTOOPT"},
		{"unknown ioctl", "+0 ioctl(4, SIOCATMARK, [0]) = 0", "ioctl: want 0, got -1 EINVAL"},
		{"unknown fcntl", "+0 fcntl(4, F_DUPFD, 3) = 5", "fcntl: want 5, got -1 EINVAL"},
		{"accept without listen", "+0 accept(4, ..., ...) = 5", "accept: want 5, got -1 EINVAL"},
		{"nothing to accept", "+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n+0 accept(3, ..., ...) = 5", "accept: want 5, got -1 EAGAIN"},
		{"socket without a number", "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1", "socket returns the number that the script gives it"},
		{"port taken", "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5\n+0 bind(5, ..., ...) = 0\n+0 listen(5, 1) = 0",
			"listen: want 0, got -1 EADDRINUSE"},
		{"congestion control", "+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, \"vegas\", 5) = 0", "setsockopt: want 0, got -1 EINVAL"},
		{"option too late", "+0 setsockopt(4, SOL_SOCKET, SO_RCVBUF, [5000], 4) = 0", "setsockopt: want 0, got -1 EOPNOTSUPP"},
		{"no connection to assert about", "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 <...>\n+0 %{ assert tcpi_rtt == 0 }%",
			"tcpi_rtt: there is no connection under test"},
		{"chained comparison", "+0 %{ assert 1 <= tcpi_snd_cwnd <= 9 }%", "[tcpi_snd_cwnd is 10"},
		{"count of drops", "+0 %{ assert drop_paws == 1 }%", "[drop_paws is 0]"},
		{"half close of receiving", "+0 shutdown(4, SHUT_RD) = 0\n+0 > F. 1:1(0) ack 1 <...>", "no way to close the receiving half"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse("script", established+c.script)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range s.Families() {
				r := s.Run(f)
				if text := strings.Join(r.Mismatches, "\n"); len(r.Mismatches) != 1 || !strings.Contains(text, c.want) {
					t.Errorf("%v: want one mismatch with %q, got %d:\n%s\n%s", f, c.want, len(r.Mismatches), text, r.Conversation())
				}
			}
		})
	}
}

// TestTimestampClock: values are compared when the script says how fast our clock ticks.
func TestTimestampClock(t *testing.T) {
	s, err := Parse("script", "--tcp_ts_tick_usecs=1000\n"+established+
		"+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val 300 ecr 800>\n")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(IPv4)
	if len(r.Mismatches) != 1 || !strings.Contains(r.Mismatches[0], "got <TS val 200 ecr 800>") {
		t.Errorf("want one mismatch of the timestamp, got %q", r.Mismatches)
	}
}

// TestAllMismatches: a script goes on after a mismatch, and the error tells all of them with the conversation.
func TestAllMismatches(t *testing.T) {
	s, err := Parse("script", established+`
+0 write(4, ..., 10) = 11
+0 > P. 1:11(10) ack 2 <...>
+0 read(3, ..., 1) = 0
+0 %{ assert tcpi_unacked == 2; assert tcpi_unacked == 3 }%`)
	if err != nil {
		t.Fatal(err)
	}
	report := s.Run(IPv6).Err()
	if report == nil {
		t.Fatal("no mismatch")
	}
	at := 0
	for _, want := range []string{
		"script over ipv6: 5 mismatches", "script:9: write: want 11, got 10", "script:10: ", "want ack 2, got 1",
		"script:11: read: want 0, got -1 ENOTCONN", "script:12: assert tcpi_unacked == 2", "script:12: assert tcpi_unacked == 3",
		"the conversation:", "4: +0 < S 0:0(0) win 32792", "sent S. 0:0(0) ack 1", "9: +0 write(4, ..., 10) = 11", "^^^",
	} {
		i := strings.Index(report.Error()[at:], want)
		if i < 0 {
			t.Fatalf("%q does not come, or not in its place:\n%v", want, report)
		}
		at += i
	}
}

// TestOptionsThatLetGo: --ignore_psh and --ignore_rest.
func TestOptionsThatLetGo(t *testing.T) {
	for _, source := range []string{
		"--ignore_psh\n" + established + "+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1 <...>",
		"--ignore_rest\n" + established + "+0 write(4, ..., 10) = 10",
		"--tolerance_usecs=200000\n" + established + "+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1 <...>",
	} {
		s, err := Parse("script", source)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(IPv4).Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestRepeats: the same script gives the same conversation.
func TestRepeats(t *testing.T) {
	s, err := Parse("script", "--ignore_rest\n"+established+"+0 write(4, ..., 40000) = 40000\n+5 close(4) = 0")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := s.Run(IPv4).Conversation(), s.Run(IPv4).Conversation(); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

// foreign is a script with what is in common use in that language.
const foreign = `// Comments of
/* all */ # kinds
--tolerance_usecs=10000
--ip_version=ipv4-mapped-ipv6
` + "`../common/defaults.sh\n../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=1`" + `
    0 ` + "`sysctl -q net.ipv4.tcp_sack=1 net.ipv4.tcp_rmem=\"4096 131072 6291456\"`" + `
0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
   +0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 0 ecr 100,nop,wscale 7>
  +.1 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 200 ecr 0>
   +0 accept(3, ..., ...) = 4
+0.1...0.2 read(4, ..., 100) = 10
  +.1 < P. 1:11(10) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
+0~+.1 > . 1:1(0) ack 11 <...>
   +0 writev(4, [{..., 1000}, {..., 460}], 2) = 1460
0.3~+.1 > P. 1:1461(1460) ack 11 <...>
  +.01 < . 11:11(0) ack 1461 win 257 <nop,nop,TS val 400 ecr 0>
   +0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=0}, 0) = 100
   * > P. 1461:1561(100) ack 11 <...>
   +0 %{
print tcpi_rtt, 'microseconds'
assert 9 <= tcpi_snd_cwnd < 20, 'cwnd=%d' % tcpi_snd_cwnd
assert abs(tcpi_rtt - 100000) < 100000 and (tcpi_options & TCPI_OPT_SACK) != 0, (tcpi_rtt, tcpi_options)
assert tcpi_state == TCP_ESTABLISHED # state
}%
`

// TestForeignScript: it is read as it is meant there.
func TestForeignScript(t *testing.T) {
	s, err := Parse("foreign", foreign)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(IPv4)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.Conversation(), "print tcpi_rtt, 'microseconds': [tcpi_rtt is") {
		t.Errorf("nothing is printed:\n%s", r.Conversation())
	}
	if f := s.Families(); len(f) != 1 || f[0] != IPv4 {
		t.Errorf("families %v", f)
	}
}
