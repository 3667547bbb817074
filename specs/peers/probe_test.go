package peers

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// probed judges a peer by what the RFCs demand. Its known deviations are in accept/NAME, by rule and section.
func probed(ctx context.Context, name string, c probe.Config) {
	GinkgoHelper()
	file, err := os.Open(filepath.Join("accept", name))
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	c.Accepted, err = probe.ReadAccepted(file)
	Expect(err).NotTo(HaveOccurred())
	c.Level, c.Timeout, c.Stderr = cmp.Or(os.Getenv("SALLYPORT_PROBE_LEVEL"), "must"), 5*time.Second, GinkgoWriter
	p, err := probe.New(c)
	Expect(err).NotTo(HaveOccurred())
	var all []probe.Result
	var failed []string
	for r, err := range p.Run(ctx) {
		Expect(err).NotTo(HaveOccurred())
		if all = append(all, r); r.Failed() {
			failed = append(failed, fmt.Sprintf("%s %s %s: %s", r.Rule, r.Section, r.Name, r.Reason))
		}
	}
	writePage(name, &p.Summary, all)
	Expect(failed).To(BeEmpty())
	Expect(p.Summary.Unused).To(BeEmpty(), "deviations that are none any more")
	Expect(probe.Totals(all)[probe.Pass]).To(BeNumerically(">", 20))
}

// writePage writes the report of a run into the directory of $SALLYPORT_PROBE_OUT.
func writePage(name string, s *probe.Summary, all []probe.Result) {
	GinkgoHelper()
	dir := os.Getenv("SALLYPORT_PROBE_OUT")
	if dir == "" {
		return
	}
	Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	page, err := os.Create(filepath.Join(dir, name+".html"))
	Expect(err).NotTo(HaveOccurred())
	defer page.Close()
	Expect(probe.HTML(page, s, all)).To(Succeed())
}

// pemFiles writes the certificate and the key of the servers under test, and returns the roots that trust it.
func pemFiles(dir string) (cert, key string, roots *x509.CertPool) {
	GinkgoHelper()
	pair := testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "example.test") })
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	Expect(err).NotTo(HaveOccurred())
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	Expect(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o644)).To(Succeed())
	Expect(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)).To(Succeed())
	return cert, key, testserver.Pool(tls.Certificate{Leaf: pair.Leaf})
}

func freePort() string {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	return port
}

// background runs a server in the foreground of a process that ends with the spec, and waits for its port.
func background(ctx context.Context, port string, cmd *exec.Cmd) {
	GinkgoHelper()
	cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
	})
	Eventually(ctx, func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			err = conn.Close()
		}
		return err
	}).Should(Succeed())
}

var probeAlice = probe.Account{Name: "alice", Password: testserver.Password("alice")}

const probeLimit = SpecTimeout(3 * time.Minute)

var _ = Describe("The prober and the server of", Label("area:probe"), func() {
	It("PostgreSQL", Label("peer:postgres"), func(ctx SpecContext) {
		port := freePort()
		db := newPostgres(ctx, port)
		dir := filepath.Join(db.dir, "tls")
		Expect(os.Mkdir(dir, 0o755)).To(Succeed())
		cert, key, roots := pemFiles(dir)
		own(dir)
		own(key)
		db.sql(ctx, "SET password_encryption = 'scram-sha-256'; CREATE ROLE alice LOGIN PASSWORD :'password'", "password="+probeAlice.Password)
		data := filepath.Join(db.dir, "data")
		hba := "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
		Expect(os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o644)).To(Succeed())
		for _, set := range []string{"ssl_cert_file = '" + cert + "'", "ssl_key_file = '" + key + "'", "ssl = on"} {
			db.sql(ctx, "ALTER SYSTEM SET "+set)
		}
		db.sql(ctx, "SELECT pg_reload_conf()")
		probed(ctx, "postgres", probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "postgres", Host: "127.0.0.1", Port: port, Path: "postgres"},
			Account: probeAlice, Roots: roots,
		})
	}, probeLimit)

	It("Dovecot", Label("peer:dovecot"), func(ctx SpecContext) {
		program, dir, port := harness.Tool("dovecot"), openDir(), freePort()
		cert, key, roots := pemFiles(dir)
		users := filepath.Join(dir, "users")
		Expect(os.WriteFile(users, []byte("alice:{plain}"+probeAlice.Password+"\n"), 0o644)).To(Succeed())
		config := filepath.Join(dir, "dovecot.conf")
		text := strings.NewReplacer("DIR", dir, "PORT", port, "CERT", cert, "KEY", key, "USERS", users).Replace(dovecotConfig)
		Expect(os.WriteFile(config, []byte(text), 0o600)).To(Succeed())
		background(ctx, port, exec.Command(program, "-F", "-c", config))
		probed(ctx, "dovecot", probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "imaps", Host: "127.0.0.1", Port: port}, Account: probeAlice, Roots: roots,
		})
	}, probeLimit)

	It("Prosody", Label("peer:prosody"), func(ctx SpecContext) {
		program, dir, port := harness.Tool("prosody"), openDir(), freePort()
		cert, key, roots := pemFiles(dir)
		accounts := filepath.Join(dir, "data", "example%2etest", "accounts")
		Expect(os.MkdirAll(accounts, 0o755)).To(Succeed())
		account := fmt.Sprintf("return { [\"password\"] = %q; };\n", probeAlice.Password)
		Expect(os.WriteFile(filepath.Join(accounts, "alice.dat"), []byte(account), 0o644)).To(Succeed())
		config := filepath.Join(dir, "prosody.cfg.lua")
		text := strings.NewReplacer("DIR", dir, "PORT", port, "CERT", cert, "KEY", key).Replace(prosodyConfig)
		Expect(os.WriteFile(config, []byte(text), 0o644)).To(Succeed())
		output(ctx, "", "chown", "-R", "prosody", dir)
		background(ctx, port, exec.Command("setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups", program, "--config", config, "-F"))
		probed(ctx, "prosody", probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "xmpp", Host: "127.0.0.1", Port: port, Path: "example.test"},
			Account: probeAlice, Roots: roots,
		})
	}, probeLimit)
})

// prosodyConfig listens on the loopback alone.
const prosodyConfig = `pidfile = "DIR/pid"
data_path = "DIR/data"
log = { info = "DIR/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { PORT }
s2s_ports = {}
http_ports = {}
https_ports = {}
modules_enabled = { "saslauth", "tls" }
modules_disabled = { "s2s", "http", "limits" }
authentication = "internal_plain"
ssl = { certificate = "CERT", key = "KEY" }
certificates = "DIR"
VirtualHost "example.test"
`

// openDir returns a directory that servers can read which run as another user.
func openDir() string {
	GinkgoHelper()
	dir, err := os.MkdirTemp("", "sallyport-peer-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	Expect(os.Chmod(dir, 0o755)).To(Succeed())
	return dir
}

// dovecotConfig listens on the loopback alone. It sets no delay of failures, but Dovecot answers them every half a second
// alone: most of the run is this wait.
const dovecotConfig = `base_dir = DIR/run
log_path = DIR/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <CERT
ssl_key = <KEY
auth_mechanisms = scram-sha-256
auth_failure_delay = 0
mail_location = maildir:DIR/mail
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = USERS
}
userdb {
  driver = static
  args = uid=mail gid=mail home=DIR/home
}
service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = PORT
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`

var _ = Describe("The prober and", Label("area:probe"), Ordered, ContinueOnFailure, func() {
	var program string
	BeforeAll(func(ctx SpecContext) {
		program = filepath.Join(GinkgoT().TempDir(), "probed")
		out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./probed").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}, NodeTimeout(2*time.Minute))

	for _, role := range []probe.Role{probe.ServerRole, probe.ClientRole} {
		It("xdg-go/scram as the "+string(role), Label("peer:xdg"), func(ctx SpecContext) {
			probed(ctx, "xdg-"+string(role), probe.Config{
				Role: role, Target: probe.Target{Dialect: "stdio"}, Command: []string{program, "xdg-" + string(role)},
			})
		}, probeLimit)
	}

	It("go-mail", Label("peer:go-mail"), func(ctx SpecContext) {
		probed(ctx, "go-mail", probe.Config{
			Role: probe.ClientRole, Target: probe.Target{Dialect: "smtps", Host: "127.0.0.1", Port: "0"},
			Command: []string{program, "go-mail", "{host}", "{port}", "{ca}", "{user}", "{password-file}"},
		})
	}, probeLimit)

	It("psql", Label("peer:postgres"), func(ctx SpecContext) {
		probed(ctx, "psql", probe.Config{
			Role: probe.ClientRole, Target: probe.Target{Dialect: "postgres", Host: "127.0.0.1", Port: "0"},
			Command: []string{
				"sh", "-c", `PGPASSWORD=$(cat "$2") exec "$0" "$1" -XAtqc ";"`,
				postgresTool("psql"), databaseSettings, "{password-file}",
			},
		})
	}, probeLimit)

	It("pgx", Label("peer:pgx"), func(ctx SpecContext) {
		probed(ctx, "pgx", probe.Config{
			Role: probe.ClientRole, Target: probe.Target{Dialect: "postgres", Host: "127.0.0.1", Port: "0"},
			Command: []string{program, "pgx", databaseSettings, "{password-file}"},
		})
	}, probeLimit)
})

// databaseSettings are the settings of a PostgreSQL client under test.
const databaseSettings = "host={host} port={port} user=u dbname=d sslmode=verify-full sslrootcert={ca}"
