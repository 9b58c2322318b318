package service

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

// Reason says why a connection ended, or why it was never served. The set is closed: each connection is counted under
// exactly one reason.
type Reason uint8

// Reasons. Those up to DialFailed belong to connections that were refused; the others to connections that were served.
const (
	DialLimit          Reason = iota // as many dials to the backend pending as allowed
	DialRefused                      // the backend's port or socket is closed
	DialTimeout                      // the backend did not answer in time
	DialUnreachable                  // no route to the backend
	DialDescriptors                  // EMFILE or ENFILE
	ClientGaveUp                     // the client left before the backend answered
	HandshakeFailed                  // the backend answered, but the client's handshake was not completed
	DialFailed                       // any other failure of the dial, such as a name that does not resolve
	Finished                         // FIN both ways
	ClientReset                      // RST from the client
	ClientTimeout                    // the client stopped acknowledging
	ClientUnreachable                // ICMP says so
	ClientFailed                     // any other error of the client's connection
	BackendReset                     // RST from the backend
	BackendTimeout                   // the backend stopped acknowledging
	BackendUnreachable               // ICMP says so
	BackendFailed                    // any other error of the backend's connection
	HalfCloseTimeout                 // one side sent FIN, the other went quiet
	AnswerCut                        // an HTTP answer ended before its Content-Length
	BadFrame                         // a stream of datagrams has something else where a frame begins
	TruncatedFrame                   // a stream of datagrams ended within a frame
	StoreFailed                      // a stream could not be kept as a file
	IdleTimeout                      // neither side of a stream of datagrams said anything
	Panicked                         // a programming error in a service
	NumReasons         = iota
)

var reasonNames = [NumReasons]string{
	DialLimit: "dial_limit", DialRefused: "dial_refused", DialTimeout: "dial_timeout", DialUnreachable: "dial_unreachable",
	DialDescriptors: "dial_descriptors", ClientGaveUp: "client_gave_up", HandshakeFailed: "handshake_failed",
	DialFailed: "dial_failed", Finished: "finished", ClientReset: "client_reset", ClientTimeout: "client_timeout",
	ClientUnreachable: "client_unreachable", ClientFailed: "client_failed", BackendReset: "backend_reset",
	BackendTimeout: "backend_timeout", BackendUnreachable: "backend_unreachable", BackendFailed: "backend_failed",
	HalfCloseTimeout: "half_close_timeout", AnswerCut: "answer_cut", BadFrame: "bad_frame",
	TruncatedFrame: "truncated_frame", StoreFailed: "store_failed", IdleTimeout: "idle_timeout", Panicked: "panicked",
}

// String returns the reason as the label of a metric.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Refusal reports whether r belongs to a connection that was never served.
func (r Reason) Refusal() bool { return r <= DialFailed }

// failures are the reasons that stand for the errors of one endpoint.
type failures struct{ reset, timeout, unreachable, failed Reason }

var (
	clientFailures  = failures{ClientReset, ClientTimeout, ClientUnreachable, ClientFailed}
	backendFailures = failures{BackendReset, BackendTimeout, BackendUnreachable, BackendFailed}
)

// of returns the reason for an error of Read, Write or CloseWrite.
func (f failures) of(err error) Reason {
	switch {
	// Linux reports a RST that follows the peer's FIN as EPIPE, and a shutdown after a RST as ENOTCONN.
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN, syscall.ECONNABORTED):
		return f.reset
	case isTimeout(err):
		return f.timeout
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNREFUSED):
		return f.unreachable
	}
	return f.failed
}

// dialReason returns the reason for an error of a dial.
func dialReason(err error) Reason {
	switch {
	case isAny(err, syscall.EMFILE, syscall.ENFILE):
		return DialDescriptors
	case isAny(err, syscall.ECONNREFUSED, fs.ErrNotExist):
		return DialRefused
	case isTimeout(err):
		return DialTimeout
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return DialUnreachable
	}
	return DialFailed
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout() || errors.Is(err, syscall.ETIMEDOUT)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
