// Package service holds what answers on a connection: the small servers of the early RFCs (echo, discard, daytime,
// chargen), HTTP, and a proxy to a backend.
//
// A service knows net.Listener and net.Conn only. What a connection can do beyond that is asked for by structure, so that
// the kernel's sockets and those of a userspace stack are treated alike:
//
//   - CloseWrite() error: send a FIN, go on receiving.
//   - SetLinger(int) error: with 0, Close sends a RST.
//   - Describe() [][2]string: facts about the connection, as name and value, for the welcome page.
//   - Done() <-chan struct{}: closed once the connection is over (reset, timed out, closed). It lets the proxy learn of a
//     reset that follows a FIN, which no Read reports any more.
//
// Every service is a struct of its settings; the zero value of a setting means its default. Serve may be called once per
// listener, on several listeners at the same time.
package service
