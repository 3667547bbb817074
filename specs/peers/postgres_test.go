package peers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/users"
	"github.com/sallyport/sallyport/specs/harness"
)

// postgres is a PostgreSQL server on a Unix socket in a directory of its own, and perhaps on the loopback.
type postgres struct{ dir, bin, port string }

// hba lets the administrator in without a password, because the directory protects the socket. All others need one.
const hba = "local all postgres trust\nlocal all all scram-sha-256\n"

// asOwner returns a command that does not run as root, which PostgreSQL refuses.
func asOwner(command ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		command = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}, command...)
	}
	return exec.Command(command[0], command[1:]...)
}

// newPostgres starts a server, which runs until its container is done. With a port it listens on the loopback too.
func newPostgres(ctx SpecContext, port string) *postgres {
	GinkgoHelper()
	p := &postgres{bin: filepath.Dir(postgresTool("postgres")), port: port}
	var err error
	p.dir, err = os.MkdirTemp("", "sallyport-postgres-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, p.dir)
	own(p.dir)
	data := filepath.Join(p.dir, "data")
	initdb := asOwner(filepath.Join(p.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust",
		"--no-sync", "--no-locale", "--encoding=UTF8")
	initdb.Dir, initdb.Stdout, initdb.Stderr = p.dir, GinkgoWriter, GinkgoWriter
	Expect(initdb.Run()).To(Succeed())
	Expect(os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o644)).To(Succeed())
	p.serve(ctx, data)
	return p
}

// postgresTool returns the path of a program of PostgreSQL's that stands beside the server. Debian's psql in PATH is a
// Perl program that costs more than the login.
func postgresTool(name string) string {
	GinkgoHelper()
	server, err := filepath.EvalSymlinks(harness.Tool("postgres"))
	Expect(err).NotTo(HaveOccurred())
	return filepath.Join(filepath.Dir(server), name)
}

// own gives a directory to the user who runs PostgreSQL.
func own(dir string) {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		return
	}
	owner, err := user.Lookup("postgres")
	Expect(err).NotTo(HaveOccurred())
	uid, err := strconv.Atoi(owner.Uid)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chown(dir, uid, -1)).To(Succeed())
}

func (p *postgres) serve(ctx context.Context, data string) {
	GinkgoHelper()
	log, err := os.Create(filepath.Join(p.dir, "log"))
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	cmd := asOwner(filepath.Join(p.bin, "postgres"), "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	if p.port != "" {
		cmd.Args = append(cmd.Args, "-c", "listen_addresses=127.0.0.1", "-c", "port="+p.port)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		Expect(cmd.Process.Signal(os.Interrupt)).To(Succeed()) // a fast shutdown
		Expect(cmd.Wait()).To(Succeed())
	})
	Eventually(ctx, func() error {
		_, err := p.psql(ctx, "postgres", "", "SELECT 1")
		return err
	}).Should(Succeed(), func() string { return readAll(log.Name()) })
}

func readAll(file string) string {
	text, err := os.ReadFile(file)
	return fmt.Sprint(string(text), err)
}

// psql logs a user in and runs a statement, in which :'name' stands for a variable.
func (p *postgres) psql(ctx context.Context, name, password, statement string, variables ...string) (string, error) {
	arguments := []string{"-h", p.dir, "-p", cmp.Or(p.port, "5432"), "-U", name, "-d", "postgres", "-XAtqw", "-v", "ON_ERROR_STOP=1"}
	for _, variable := range variables {
		arguments = append(arguments, "-v", variable)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), arguments...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(statement), GinkgoWriter
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password, "PGCLIENTENCODING=UTF8")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// sql runs a statement as the administrator.
func (p *postgres) sql(ctx context.Context, statement string, variables ...string) string {
	GinkgoHelper()
	out, err := p.psql(ctx, "postgres", "", statement, variables...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

// Making a cluster takes a second, so these share one.
var _ = Describe("PostgreSQL", Label("peer:postgres", "promise:4", "rfc:5803"), Ordered, func() {
	var db *postgres
	BeforeAll(func(ctx SpecContext) { db = newPostgres(ctx, "") }, NodeTimeout(30*time.Second))

	// create makes a role, and returns what PostgreSQL stores for a password or a verifier.
	create := func(ctx SpecContext, password string) (stored string) {
		GinkgoHelper()
		db.sql(ctx, "DROP ROLE IF EXISTS alice; SET password_encryption = 'scram-sha-256'; CREATE ROLE alice LOGIN PASSWORD :'password'",
			"password="+password)
		return db.sql(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'")
	}

	for _, password := range passwords {
		It("makes a verifier that lets in who knows "+strconv.Quote(password), func(ctx SpecContext) {
			letsIn(ctx, create(ctx, password), password)
		}, limit)

		It("takes one that our users file holds, and lets in who knows "+strconv.Quote(password), func(ctx SpecContext) {
			file := filepath.Join(GinkgoT().TempDir(), "users")
			Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
			Expect(users.Add(file, "alice", password, scram.DefaultIterations)).To(Succeed())
			line, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			verifier := strings.TrimSpace(strings.TrimPrefix(string(line), "alice:"))

			Expect(create(ctx, verifier)).To(Equal(verifier))
			Expect(db.psql(ctx, "alice", password, "SELECT current_user")).To(Equal("alice"))
			Expect(db.psql(ctx, "alice", password+"!", "SELECT current_user")).Error().To(HaveOccurred(), "the control")
		}, limit)
	}
})
