package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tcpd/config"
	"tcpd/tun"
)

// machine is the one we run on, as doctor sees it.
type machine struct{ c *config.Config }

func (machine) executables() (own, first string) {
	own, err := os.Executable()
	if err == nil {
		own, _ = filepath.EvalSymlinks(own)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		name := filepath.Join(dir, "tcpd")
		if info, err := os.Stat(name); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			continue
		}
		if real, err := filepath.EvalSymlinks(name); err == nil {
			name = real
		}
		return own, name
	}
	return own, ""
}

func (m machine) controlError() error {
	if m.c.Control.Socket == "" {
		return nil
	}
	var s status
	return client{socket: m.c.Control.Socket}.call(http.MethodGet, "/v1/status", &s)
}

func (machine) openNode() error { return tun.OpenCloneDevice() }

func (machine) mayAdminister() (admin bool, uid uint32, gids []uint32) {
	gids = append(gids, uint32(os.Getegid()))
	if groups, err := os.Getgroups(); err == nil {
		for _, g := range groups {
			gids = append(gids, uint32(g))
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.Geteuid() == 0, uint32(os.Geteuid()), gids
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0, uint32(os.Geteuid()), gids
}

func (machine) device(name string) (tun.DeviceInfo, error) { return tun.Inspect(name) }

func (machine) routeTo(a netip.Addr) (string, error) { return tun.RouteTo(a) }

func (machine) sysctl(name string) (string, error) {
	b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	return strings.TrimSpace(string(b)), err
}

func (machine) ruleset() ([]byte, error) {
	out, err := exec.Command("nft", "-j", "list", "ruleset").Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("there is no nft here (apt-get install nftables)")
	case errors.As(err, &exit):
		return nil, fmt.Errorf("nft list ruleset: %s", strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}
