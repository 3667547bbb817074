package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server/state"
)

// fromSystemd is the value of --listen for the socket that systemd passes (sd_listen_fds(3)).
const fromSystemd = "systemd"

// checkAddress checks --listen, and takes over the socket that systemd passes.
func (f *serveFlags) checkAddress() (err error) {
	if f.inherited, err = inherited(); err != nil {
		return err
	}
	if f.listen == fromSystemd || f.inherited != nil && !f.listenGiven {
		return nil
	}
	if f.inherited != nil {
		return usagef("systemd passes a socket, and --listen is another address, %s: leave out --listen, or disable the socket unit", f.listen)
	}
	if _, err := strconv.ParseUint(f.listen, 10, 16); err == nil {
		f.listen = net.JoinHostPort("127.0.0.1", f.listen)
	}
	_, port, err := net.SplitHostPort(f.listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("--listen is HOST:PORT, :PORT (on all addresses), PORT (on 127.0.0.1) or systemd, not %q", f.listen)
	}
	return nil
}

// inherited returns the listening socket that systemd passes, or nil without one. The kernel keeps the connections
// that are made to it while no server runs, because systemd has it open too.
func inherited() (*net.TCPListener, error) {
	files := activation.Files(true)
	defer func() {
		for _, file := range files {
			_ = file.Close() // the listener has a duplicate
		}
	}()
	switch len(files) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, usagef("systemd passes %d sockets, and the server takes one: give the socket unit one ListenStream=", len(files))
	}
	l, err := net.FileListener(files[0])
	if err != nil {
		return nil, usagef("the socket that systemd passes does not listen: %v", err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		_ = l.Close()
		return nil, usagef("the socket that systemd passes is no TCP socket: give the socket unit ListenStream=PORT or ADDRESS:PORT")
	}
	return tcp, nil
}

// open returns the listener: the socket that systemd passes, or a new one.
func (f *serveFlags) open() (*patientListener, error) {
	switch {
	case f.inherited != nil:
		return newPatientListener(f.inherited), nil
	case f.listen == fromSystemd:
		return nil, usagef("--listen systemd: systemd passes no socket. Enable sallyport.socket, or give --listen an address")
	}
	l, err := listen(f.listen)
	if err != nil {
		return nil, err
	}
	return newPatientListener(l), nil
}

// listen listens. If the port is in use, the error says how to find out by whom.
func listen(address string) (*net.TCPListener, error) {
	// The server sets keep-alive itself, once.
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	l, err := config.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return nil, fmt.Errorf("%s is in use: 'ss -ltnp sport = :%s' says by whom, or choose another with --listen", address, port)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return nil, worded{err, fmt.Sprintf("can't listen on %s: %s", address, networkReason(op))}
	}
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// announce says where the server listens, what a person can type next, which CA a pin names, and where the log is.
// It does so in one write, so that no message comes between its lines.
func (f *serveFlags) announce(w io.Writer, addr net.Addr, pair tls.Certificate, paths state.Paths, source userSource) {
	to := &bytes.Buffer{}
	defer func() { _, _ = to.WriteTo(w) }()
	fmt.Fprintf(to, "listening on %s\n", addr)
	ca, private := servedCA(pair)
	user, add := f.someUser(source, paths)
	connect := "connect --user "
	if f.backend.spec != "" {
		connect = "connect --open --user "
	}
	switch {
	case user == "" && isServiceUser():
		fmt.Fprintln(to, "next, in another terminal: runuser -u sallyport --", add)
	case user == "":
		fmt.Fprintln(to, "next, in another terminal:", add)
	case private && f.cert != "": // the CA in the state directory is another one
		fmt.Fprintln(to, "next, in another terminal:", withPin(connect+quoteArg(user), reachable(addr), ca))
	default:
		fmt.Fprintln(to, "next, in another terminal:", commandLine(connect+quoteArg(user), f.state, reachable(addr)))
	}
	if remote := elsewhere(addr, pair.Leaf); remote != "" && private && user != "" {
		fmt.Fprintln(to, "from another machine:", withPin(connect+quoteArg(user), remote, ca))
	}
	if private {
		fmt.Fprintln(to, "ca", ca)
	}
	fmt.Fprintln(to, "log", paths.Audit())
}

// withPin returns a command line for clients that have no file of the CA.
func withPin(command, addr string, ca pin.Pin) string {
	return commandLine(command, "", addr) + " --pin " + ca.String()
}

// servedCA returns the pin of the private CA that the server sends behind its certificate. A chain that ends
// without its root is that of a public CA, whose certificates below the root change.
func servedCA(pair tls.Certificate) (p pin.Pin, private bool) {
	if len(pair.Certificate) < 2 {
		return p, false
	}
	last, err := x509.ParseCertificate(pair.Certificate[len(pair.Certificate)-1])
	if err != nil || !pin.IsCA(last) || last.CheckSignatureFrom(last) != nil {
		return p, false
	}
	return pin.Of(last), true
}

// elsewhere returns the address at which clients on other machines reach a listener, with a name of the certificate.
// It is empty if only this machine can.
func elsewhere(addr net.Addr, leaf *x509.Certificate) string {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok || tcp.IP.IsLoopback():
		return ""
	case !tcp.IP.IsUnspecified():
		return addr.String()
	}
	port := strconv.Itoa(tcp.Port)
	for _, name := range leaf.DNSNames {
		if name != "localhost" && !strings.HasPrefix(name, "*") {
			return net.JoinHostPort(name, port)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if !ip.IsLoopback() {
			return net.JoinHostPort(ip.String(), port)
		}
	}
	return ""
}
