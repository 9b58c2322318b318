// Package stack runs the protocol of package tcp: it reads packets from a link, keeps time, wakes those who wait, and shows
// connections as net.Listener and net.Conn.
package stack
