# make check is the whole proof; the other targets are its parts and the tools around it.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build run check fmt vet staticcheck test race fuzz bench microbench grid

build:                ## the daemon, as ./tcpd
	CGO_ENABLED=0 go build -trimpath -o tcpd ./cmd/tcpd

run: build            ## build and run with the embedded configuration (root)
	./tcpd --tun tcp0

check: fmt vet staticcheck test race fuzz

fmt:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }

vet:
	go vet ./...
	go -C bench vet ./...

staticcheck:
	go run $(STATICCHECK) ./...

# -count=1: tests that build or list the module would be taken from the cache although it has changed.
test:                 ## all tests, with the edges of the imports, the simulator and, as root, the kernel as peer
	go test -count=1 ./...
	go -C bench test -count=1 ./...

race:                 ## the same under the race detector, with fewer seeds; e2e drives a binary of its own and has no part in it
	go test -count=1 -race -short $$(go list ./... | grep -v internal/e2e)

# A number of inputs and not a time: on a busy machine the end of the time is taken for a failure of the target, now and then.
fuzz:                 ## every fuzz target with FUZZTIME inputs (5000x), or for so long (1m)
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(FUZZTIME),5000x) $$p || exit 1; \
		done; \
	done

bench:                ## tcpd, gVisor and the kernel on the same work, as a table; root, at most ten minutes (BENCH=-quick: two)
	go -C bench run ./cmd/sidebyside $(BENCH)

grid:                 ## goodput over emulated links beside the kernel's, into docs/grid.md; root, at most forty minutes
	go -C bench run ./cmd/grid -report ../docs/grid.md $(GRID)

microbench:           ## the Go benchmarks: what each step costs
	go test -run '^$$' -bench . -benchmem ./...
