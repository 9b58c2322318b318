package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"slices"
	"time"

	"go.uber.org/zap"

	"tcpd/ether"
	"tcpd/service"
	"tcpd/tun"
)

// discardLog keeps net/http from writing to stderr in a format of its own.
var discardLog = log.New(io.Discard, "", 0)

// openMetrics opens the port of metrics and health, served by the kernel's TCP, if the configuration says where.
func (d *daemon) openMetrics() (*httpServer, error) {
	where := d.config().Metrics.Listen
	if where == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w%s", err, remedy(err, "another program has it, choose another port"))
	}
	d.log.Info("serving metrics", zap.Stringer("listen", l.Addr()))
	return d.newHTTPServer(l, d.metricsHandler()), nil
}

func (d *daemon) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		var e exposition
		d.expose(&e)
		_ = e.writeTo(w)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		health(w, d.alive())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		health(w, d.ready())
	})
	return mux
}

func health(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// ready returns nil if every service serves connections, else why not.
func (d *daemon) ready() error {
	switch {
	case d.isStopping():
		return errors.New("stopping")
	case !d.link.Stats().LinkUp:
		return errors.New("the device is down")
	}
	if failed := d.services.failures(); len(failed) > 0 {
		return fmt.Errorf("service %q has failed: %w", failed[0].Name, failed[0].err)
	}
	return d.alive()
}

// expose writes every metric. Names and labels are part of what tcpd promises to its users; labels have closed sets of
// values, none of them a client's choice.
func (d *daemon) expose(e *exposition) {
	e.family("tcpd_build_info", "gauge", "What was built, always 1.")
	e.sample("tcpd_build_info", 1, "version", version(), "goversion", runtime.Version())
	e.gauge("tcpd_ready", "Whether every service serves connections.", number(d.ready() == nil))
	e.gauge("tcpd_link_queues", "Queues of the device.", float64(d.link.Queues()))
	e.gauge("tcpd_link_queues_written", "Queues by which packets leave: more while many bulk flows need them.", float64(d.stack.Spread()))
	e.gauge("tcpd_uptime_seconds", "Time since the start.", time.Since(d.started).Seconds())
	e.counter("tcpd_log_suppressed_total", "Log entries left out because they repeated.", d.log.suppressed.Load())
	d.exposeReloads(e)
	exposeLink(e, d.link.Stats())
	d.exposeFates(e)
	exposeStack(e, d.stack.Stats(), d.link.Stats())
	exposeServices(e, d.services.counts())
	d.exposeUp(e)
}

// exposeUp writes which services of the configuration are served.
func (d *daemon) exposeUp(e *exposition) {
	e.family("tcpd_service_up", "gauge", "Whether the service is served; 0 if it has failed.")
	for _, s := range d.services.serving() {
		e.sample("tcpd_service_up", 1, "service", s.Name)
	}
	for _, s := range d.services.failures() {
		e.sample("tcpd_service_up", 0, "service", s.Name)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (d *daemon) exposeReloads(e *exposition) {
	d.mu.Lock()
	r := d.reloaded
	d.mu.Unlock()
	e.family("tcpd_config_reloads_total", "counter", "Reloads of the configuration.")
	e.sample("tcpd_config_reloads_total", float64(r.Succeeded), "result", "success")
	e.sample("tcpd_config_reloads_total", float64(r.Failed), "result", "failure")
	e.gauge("tcpd_config_last_reload_success", "Whether the last reload, or the start, succeeded.", number(r.Error == ""))
}

func exposeLink(e *exposition, s tun.Stats) {
	e.gauge("tcpd_link_up", "Whether the device is up.", number(s.LinkUp))
	e.gauge("tcpd_link_gso", "Whether super-packets are handed to the kernel whole.", number(s.GSO))
	e.gauge("tcpd_link_gso_long", "Whether those for peers on the host itself may have more than 64 KiB.", number(s.Long))
	e.counter("tcpd_link_packets_received_total", "Packets and super-packets read from the device.", s.Read.Packets)
	e.counter("tcpd_link_bytes_received_total", "Bytes of IP packets read from the device.", s.Read.Bytes)
	e.counter("tcpd_link_superpackets_received_total", "Super-packets among the packets read.", s.Read.Super)
	e.counter("tcpd_link_packets_sent_total", "Packets and super-packets written to the device.", s.Written.Packets)
	e.counter("tcpd_link_bytes_sent_total", "Bytes of IP packets written to the device.", s.Written.Bytes)
	e.counter("tcpd_link_superpackets_sent_total", "Super-packets among the packets written.", s.Written.Super)
	e.counter("tcpd_link_segmented_total", "Super-packets cut in software, because the device takes none.", s.Segmented)
	e.counter("tcpd_link_fallbacks_total", "How often super-packets were given up at run time.", s.Fallbacks)
	e.counter("tcpd_link_reattached_total", "How often the device was deleted and came back.", s.Reattached)
	if s.KernelDroppedKnown {
		e.counter("tcpd_link_kernel_drops_total", "Packets for us that the kernel dropped because we read too slowly.", s.KernelDropped)
	}
	e.family("tcpd_link_write_errors_total", "counter", "Packets that could not be written to the device.")
	for r := range tun.NumWriteDrops {
		e.sample("tcpd_link_write_errors_total", float64(s.WriteDrops[r]), "reason", tun.WriteDrop(r).String())
	}
	if s.Ether == nil {
		return
	}
	for r := ether.Sent + 1; r < ether.NumLosses; r++ {
		e.sample("tcpd_link_write_errors_total", float64(s.Ether.Losses[r]), "reason", r.String())
	}
	exposeEther(e, s.Ether)
}

// exposeEther writes what a host on an Ethernet counts. Its drops are with all others.
func exposeEther(e *exposition, c *ether.Counters) {
	e.gauge("tcpd_ether_neighbors", "Neighbors in the table.", float64(c.Neighbors))
	e.counter("tcpd_ether_frames_received_total", "Frames that arrived.", c.FramesIn)
	e.counter("tcpd_ether_delivered_total", "Frames with a packet for the stack.", c.Delivered)
	e.counter("tcpd_ether_handled_total", "Frames of ARP and Neighbor Discovery that were of use.", c.Handled)
	e.counter("tcpd_ether_solicitations_total", "Questions for the MAC of a neighbor.", c.Solicitations)
	e.counter("tcpd_ether_solicitations_limited_total", "Questions not asked because of their rate.", c.SolicitLimit)
	e.counter("tcpd_ether_answers_total", "Questions for an address of ours that were answered.", c.Answers)
	e.counter("tcpd_ether_held_total", "Packets that waited for the MAC of a neighbor.", c.Held)
	e.counter("tcpd_ether_released_total", "Of these, those that were sent.", c.Released)
	e.counter("tcpd_ether_conflicts_total", "Times that somebody else claimed an address of ours.", c.Conflicts)
	e.counter("tcpd_ether_defended_total", "Times that an address was defended.", c.Defended)
	e.counter("tcpd_ether_challenges_total", "Times that a neighbor was asked because another MAC claimed its address.", c.Challenges)
}

func (d *daemon) exposeFates(e *exposition) {
	e.family("tcpd_link_impaired_total", "counter", "Packets that met an impaired link, by what became of them.")
	for dir, name := range []string{tun.In: "in", tun.Out: "out"} {
		for f, n := range d.link.Fates(tun.Direction(dir)) {
			e.sample("tcpd_link_impaired_total", float64(n), "direction", name, "fate", tun.Fate(f).String())
		}
	}
}

// serviceFamilies are the families with one number for each service.
var serviceFamilies = []struct {
	name, kind, help string
	value            func(service.Snapshot) float64
}{
	{"accepted_total", "counter", "Connections served.", func(c service.Snapshot) float64 { return float64(c.Accepted) }},
	{"refused_total", "counter", "Connections that were never served.", func(c service.Snapshot) float64 { return float64(c.Refused) }},
	{"accept_errors_total", "counter", "Passing errors of accepting.", func(c service.Snapshot) float64 { return float64(c.AcceptErrors) }},
	{"active", "gauge", "Connections being served.", func(c service.Snapshot) float64 { return float64(c.Active) }},
	{"pending_dials", "gauge", "Dials of a backend under way.", func(c service.Snapshot) float64 { return float64(c.Pending) }},
}

// exposeFrames writes what services of datagrams count.
func exposeFrames(e *exposition, list []serviceCounts) {
	list = slices.DeleteFunc(slices.Clone(list), func(s serviceCounts) bool { return !s.counts.Framed })
	e.family("tcpd_service_frames_received_total", "counter", "Datagrams that came from clients.")
	for _, s := range list {
		e.sample("tcpd_service_frames_received_total", float64(s.counts.Frames.Received), "service", s.name)
	}
	e.family("tcpd_service_frames_sent_total", "counter", "Datagrams that went to clients.")
	for _, s := range list {
		e.sample("tcpd_service_frames_sent_total", float64(s.counts.Frames.Sent), "service", s.name)
	}
	e.family("tcpd_service_datagrams_dropped_total", "counter", "Datagrams that went no further, by reason.")
	for _, s := range list {
		for r, n := range s.counts.Frames.Dropped {
			e.sample("tcpd_service_datagrams_dropped_total", float64(n), "service", s.name, "reason", service.FrameDrop(r).String())
		}
	}
}

func exposeServices(e *exposition, list []serviceCounts) {
	for _, f := range serviceFamilies {
		e.family("tcpd_service_"+f.name, f.kind, f.help)
		for _, s := range list {
			e.sample("tcpd_service_"+f.name, f.value(s.counts), "service", s.name)
		}
	}
	e.family("tcpd_service_ended_total", "counter", "Connections that ended or were refused, by reason.")
	for _, s := range list {
		for r, n := range s.counts.Ended {
			e.sample("tcpd_service_ended_total", float64(n), "service", s.name, "reason", service.Reason(r).String())
		}
	}
	exposeFrames(e, list)
}
