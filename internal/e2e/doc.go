// Package e2e tests the tcpd program as its users meet it: the built binary, in network namespaces of its own, against the
// kernel's TCP driven by curl, nc, ping and ordinary Go connections.
//
// Everything:
//
//	sudo go test ./internal/e2e
//
// One test, telling what it does, with a packet trace of the daemon's device left in /tmp:
//
//	sudo go test ./internal/e2e -run 'TestProxyEnds/TCP' -v -count=1 -packets /tmp
//
// Another binary than the one built from this checkout:
//
//	sudo go test ./internal/e2e -tcpd /usr/bin/tcpd
//
// The tests need root, because they make network namespaces and TUN devices; without it each says what it did not test. As
// root nothing is skipped: a missing tool fails the test and names the package that has it.
//
// Every test has a namespace without a name, which ends with the test's process and takes devices, addresses and packet
// filters along; daemons are killed by the kernel when the test's process dies. Nothing is left on the machine.
//
// A failing test prints what its daemons logged, the kernel's view of the connections (ss) and, when the daemon had to be
// killed, where each of its goroutines was. Durations and rates are logged and never judged, except by bounds so wide that
// only something that hangs exceeds them.
package e2e
