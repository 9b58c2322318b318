// Package drill runs scripts in the packetdrill language against a tcp.Table, in virtual time.
//
// A script is a list of events: packets that arrive (<), packets that have to leave (>), calls of the application, and
// assertions about the connection. The syntax is that of github.com/google/packetdrill; what is understood:
//
//	times         1.5  +.1  *  1~2  1~+.5  +1~+2, and for calls that block 0...1.5 and +0...1.5
//	packets       flags of SFRP.UEW or -, seq:end(len), ack, win, urg, [ect0 ect1 ce noecn ect01 tos ttl], ports 1 > 2
//	options       mss wscale sackOK sack TS FO nop eol, <...> for any; FO TFO_COOKIE: the cookie that left last
//	ICMP          < icmp unreachable frag_needed mtu 1400 [1:1001(1000)]
//	calls         socket bind listen accept connect read readv recv recvmsg write writev send sendto sendmsg shutdown close
//	              fcntl setsockopt getsockopt ioctl, with results and errno
//	%{ }%         assert and print, with Python's operators for integers, abs, min and max, over the names of Linux' tcp_info
//	`sysctl ...`  those with a counterpart in tcp.Options or tcp.Config; others are errors. Also set_sysctls.py and defaults.sh
//
// Every script runs over IPv4 and IPv6 unless --ip_version says otherwise. The link of IPv6 has an MTU larger by the 20 bytes
// by which its header is, as has the MTU that an ICMP error tells, so the sizes of segments in a script hold for both.
//
// Where it differs from packetdrill:
//   - A packet that leaves and that no line expects is a mismatch, also at the end of the script (--ignore_rest: not there).
//   - All mismatches are reported, with the conversation.
//   - Order and padding of expected options do not matter; which options, and the order of SACK blocks, do.
//   - What the stack sends is compared as segments of a wire; a line that expects more than one segment's payload stands for
//     as many segments as it takes.
//   - --ignore_psh: PSH does not matter.
//   - Option bytes HEX puts raw bytes into an options field, for malformed ones.
//   - Assertions also know drop_NAME, the count of segments that ended for that reason of tcp.Drop; reports, how often the table
//     had something to tell that no call does; urgent_ahead and soft_error, Info's Urgent and SoftError.
//   - SO_RCVBUF and SO_SNDBUF are taken as they are, not doubled.
package drill
