package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
)

// A tunnel carries a local TCP port to a device through two processes that speak TLS to each other. It returns the
// address of the local port.
type tunnel func(s servers, t bench.T, device string) (local string)

// forwards compares the product's tunnel with others. Its state directory and password are those of servers.sh.
func (s servers) forwards() bench.Group {
	g := bench.Group{Name: "Forward", Rounds: 10, Block: 300 * time.Millisecond}
	add := func(name string, start func(bench.T) *bench.Rig) {
		g.Subjects = append(g.Subjects, bench.Subject{Name: name, Start: start})
	}
	for _, other := range []struct {
		of, needs string
		open      tunnel
	}{
		{"sallyport", "", servers.sallyport},
		{"socat", "socat", servers.socat},
		{"stunnel", "stunnel", servers.stunnel},
		{"ghostunnel", "ghostunnel", servers.ghostunnel},
	} {
		if _, err := exec.LookPath(other.needs); other.needs != "" && err != nil {
			continue
		}
		for _, way := range []string{"up", "down"} {
			add("way="+way+"/size=64MiB/of="+other.of, func(t bench.T) *bench.Rig {
				return bench.Move(s.standing(t, other.open), way)
			})
		}
		add("size=64/of="+other.of, func(t bench.T) *bench.Rig {
			c := s.standing(t, other.open)
			return echoes(func() ([]byte, error) { return ask(c) })
		})
	}
	add("first/of=sallyport", s.firstByte)
	add("first/of=login", s.commandLogin)
	return g
}

// ask sends what a device echoes.
func ask(c net.Conn) ([]byte, error) {
	got := make([]byte, payload)
	_ = c.SetDeadline(time.Now().Add(bench.Patience))
	return got, bench.Exchange{Request: sent, Reply: sent}.Ask(c, got)
}

// standing is a connection through a tunnel that has been used.
func (s servers) standing(t bench.T, open tunnel) net.Conn {
	t.Helper()
	local := open(s, t, bench.Serve(t, bench.Device))
	c, err := net.Dial("tcp", local)
	bench.Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = ask(c)
	bench.Check(t, err)
	bench.Check(t, c.SetDeadline(time.Time{}))
	return c
}

// command is the product's command, which is built in the first call.
func (s servers) command(t bench.T) string {
	t.Helper()
	path := filepath.Join(s.dir, "sallyport")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sallyport/sallyport").Output()
	bench.Check(t, err)
	build := exec.Command("go", "build", "-o", path, "./cmd/sallyport")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	return path
}

// launch starts a process that ends with the subject. It returns the rest of the first line on stderr that begins
// with a word, unless the word is empty.
func launch(t bench.T, word, name string, arguments ...string) string {
	t.Helper()
	c := exec.Command(name, arguments...)
	stderr, err := c.StderrPipe()
	bench.Check(t, err)
	bench.Check(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines, found := bufio.NewScanner(stderr), make(chan string, 1)
	go func() {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), word); ok {
				select {
				case found <- strings.TrimSpace(rest):
				default:
				}
			}
		}
	}()
	if word == "" {
		return ""
	}
	select {
	case rest := <-found:
		return rest
	case <-time.After(bench.Patience):
		t.Fatalf("%s says nothing", name)
		return ""
	}
}

// serve starts the product's server in front of a device. Each has a state directory of its own.
func (s servers) serve(t bench.T, device string) (addr, state string) {
	t.Helper()
	dir, err := os.MkdirTemp(s.dir, "serve-")
	bench.Check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	state = filepath.Join(dir, "state")
	bench.Check(t, exec.Command("cp", "-a", s.file(""), state).Run()) // os.CopyFS would open the files to others
	return launch(t, "listening on ", s.command(t), "serve", "--state", state, "--listen", "127.0.0.1:0", "--backend", "tcp:"+device), state
}

func (s servers) sallyport(t bench.T, device string) string {
	t.Helper()
	addr, state := s.serve(t, device)
	return launch(t, "forwarding ", s.command(t), "forward", "--listen", "127.0.0.1:0", "--addr", addr, "--state", state,
		"--user", user, "--password-file", filepath.Join(s.dir, "password"))
}

// settled waits until both ends of a tunnel answer, and returns the address of the local one.
func settled(t bench.T, ports ...string) string {
	t.Helper()
	for _, addr := range ports {
		for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_ = c.Close()
				break
			}
			if time.Since(start) > bench.Patience {
				t.Fatalf("%v", err)
			}
		}
	}
	return ports[len(ports)-1]
}

// free returns a port that is free now.
func free(t bench.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	bench.Check(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (s servers) file(name string) string { return filepath.Join(s.dir, "state", name) }

// socat has buffers as long as the product's.
func (s servers) socat(t bench.T, device string) string {
	t.Helper()
	far, near := free(t), free(t)
	listen := func(kind, addr, options string) string {
		_, port, _ := net.SplitHostPort(addr)
		return kind + ":" + port + ",bind=127.0.0.1,reuseaddr,fork" + options
	}
	launch(t, "", "socat", "-b", "65536", listen("OPENSSL-LISTEN", far, ",verify=0,cert="+s.file("cert.pem")+",key="+s.file("key.pem")), "TCP:"+device+",nodelay")
	launch(t, "", "socat", "-b", "65536", listen("TCP-LISTEN", near, ",nodelay"), "OPENSSL:"+far+",commonname=localhost,cafile="+s.file("ca.pem"))
	return settled(t, far, near)
}

func (s servers) stunnel(t bench.T, device string) string {
	t.Helper()
	far, near := free(t), free(t)
	for name, lines := range map[string][]string{
		"far":  {"accept = " + far, "connect = " + device, "cert = " + s.file("cert.pem"), "key = " + s.file("key.pem")},
		"near": {"client = yes", "accept = " + near, "connect = " + far, "CAfile = " + s.file("ca.pem"), "verifyChain = yes", "checkHost = localhost"},
	} {
		path := filepath.Join(s.dir, "stunnel-"+name+"-"+strings.ReplaceAll(near, ":", "-"))
		text := "foreground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[tunnel]\n" + strings.Join(lines, "\n") + "\n"
		bench.Check(t, os.WriteFile(path, []byte(text), 0o600))
		launch(t, "", "stunnel", path)
	}
	return settled(t, far, near)
}

func (s servers) ghostunnel(t bench.T, device string) string {
	t.Helper()
	far, near := free(t), free(t)
	launch(t, "", "ghostunnel", "server", "--listen", far, "--target", device, "--cert", s.file("cert.pem"), "--key", s.file("key.pem"),
		"--cacert", s.file("ca.pem"), "--disable-authentication", "--quiet=all")
	launch(t, "", "ghostunnel", "client", "--listen", near, "--target", strings.Replace(far, "127.0.0.1", "localhost", 1),
		"--cacert", s.file("ca.pem"), "--disable-authentication", "--quiet=all")
	return settled(t, far, near)
}

// firstByte is from the local connection to the device's first answer, with a free seat.
func (s servers) firstByte(t bench.T) *bench.Rig {
	t.Helper()
	addr, state := s.serve(t, bench.Serve(t, bench.Device))
	local := launch(t, "forwarding ", s.command(t), "forward", "--listen", "127.0.0.1:0", "--addr", addr, "--state", state,
		"--user", user, "--password-file", filepath.Join(s.dir, "password"))
	return bench.Connections(func() (func() error, error) {
		c, err := net.Dial("tcp", local)
		if err != nil {
			return nil, err
		}
		_, err = ask(c)
		return func() error { return errors.Join(bench.WaitForEnd(halved{c}), s.untilFree(addr)) }, err
	})
}

// halved ends the direction to the device before it waits.
type halved struct{ net.Conn }

func (h halved) SetReadDeadline(by time.Time) error {
	return errors.Join(h.Conn.(*net.TCPConn).CloseWrite(), h.Conn.SetReadDeadline(by))
}

func (s servers) dialer() (*client.Dialer, client.Credentials) {
	password := s.password
	return &client.Dialer{TLSConfig: &tls.Config{RootCAs: s.roots}, Keys: new(scram.KeyCache)}, client.Credentials{Username: user, Password: password}
}

// untilFree waits until the seat is free.
func (s servers) untilFree(addr string) error {
	dialer, who := s.dialer()
	for start := time.Now(); time.Since(start) < bench.Patience; time.Sleep(time.Millisecond) {
		reply, err := dialer.Stat(context.Background(), addr, who)
		if err != nil {
			return err
		}
		if !strings.Contains(reply.Text, "holder ") {
			return nil
		}
	}
	return fmt.Errorf("the seat is still taken after %v", bench.Patience)
}

// commandLogin is from the dialing to the 235 of the product's server in a process of its own.
func (s servers) commandLogin(t bench.T) *bench.Rig {
	t.Helper()
	addr, _ := s.serve(t, bench.Serve(t, bench.Device))
	dialer, who := s.dialer()
	return bench.Connections(func() (func() error, error) {
		c, err := dialer.Dial(context.Background(), addr, who)
		return func() error { return errors.Join(c.Close(), s.untilFree(addr)) }, err
	})
}
