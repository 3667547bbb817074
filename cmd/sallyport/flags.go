package main

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/state"
)

const (
	defaultPort = "7443"
	defaultAddr = "127.0.0.1:" + defaultPort
)

func addStateFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state", "", "state `directory` (default $STATE_DIRECTORY, as systemd sets it, or $XDG_STATE_HOME/sallyport)")
}

// commandLine returns a command line for a person to type. It starts this program as it was started, and has the
// flags --state and --addr where they are needed.
func commandLine(command, stateFlag, addr string) string {
	line := quoteArg(os.Args[0]) + " " + command
	if stateFlag != "" {
		line += " --state " + quoteArg(stateFlag)
	}
	if addr != "" && addr != defaultAddr {
		line += " --addr " + quoteArg(addr)
	}
	return line
}

// addrFile is the file with the address of the server that runs, or last ran, on
// a state directory. commandLine needs the address.
func addrFile(paths state.Paths) string { return filepath.Join(paths.Dir, "serve.addr") }

// reachable returns the address at which a client on this machine reaches a
// listener. The wildcard address is not in any certificate.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// quoteArg quotes an argument for a POSIX shell where it needs that.
func quoteArg(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// trustFlag is the value of --trust. Each Set adds addresses, separated by commas.
type trustFlag struct{ all *[]netip.Prefix }

func (trustFlag) Type() string { return "cidr" }

func (f trustFlag) String() string {
	if f.all == nil || len(*f.all) == 0 {
		return ""
	}
	return fmt.Sprint(*f.all)
}

func (f trustFlag) Set(s string) error {
	for text := range strings.SplitSeq(s, ",") {
		prefix, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil {
			ip = ip.Unmap()
			prefix, err = ip.Prefix(min(ip.BitLen(), ipv6Source))
			if ip.Is4() {
				prefix, err = ip.Prefix(ip.BitLen())
			}
		}
		if err != nil {
			return fmt.Errorf("%q is no address like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/56", text)
		}
		const mapped = 96 // the bits before the IPv4 address in ::ffff:192.0.2.7 (RFC 4291 §2.5.5.2)
		if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
		}
		if prefix.Addr().Is6() && prefix.Bits() > ipv6Source {
			return fmt.Errorf("%q is only a part of a source: of IPv6 give at most %d bits", text, ipv6Source)
		}
		*f.all = append(*f.all, prefix.Masked())
	}
	return nil
}

// ipv6Source is the number of bits of an IPv6 source.
const ipv6Source = 56

// sizeFlag is a flag for a number of bytes: 4096, 64KiB, 1MiB, 2GiB.
type sizeFlag int64

var units = []struct {
	suffix string
	shift  int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"", 0}}

func (f *sizeFlag) Type() string { return "size" }

func (f *sizeFlag) String() string {
	for _, unit := range []int{2, 1, 0} {
		if n := int64(*f); n != 0 && bits.TrailingZeros64(uint64(n)) >= units[unit].shift {
			return strconv.FormatInt(n>>units[unit].shift, 10) + units[unit].suffix
		}
	}
	return strconv.FormatInt(int64(*f), 10)
}

func (f *sizeFlag) Set(s string) error {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 62-unit.shift)
		if err != nil || n == 0 {
			break
		}
		*f = sizeFlag(n << unit.shift)
		return nil
	}
	return fmt.Errorf("%q is not a size like 4096, 64KiB or 1MiB", s)
}
