package recipes

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/specs/debian"
)

// notRun are the commands of docs/operate.md that TestOperate does not run.
var notRun = map[string]string{
	"certbot certonly --standalone --domain rig.example.org":            "needs a public CA that reaches this machine",
	"lego --email you@example.org --domains rig.example.org --http run": "likewise",
}

const operate = "../../docs/operate.md"

func operatePage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(operate)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOperate does what docs/operate.md says on a Debian of its own. SPECS_DEB is as in package debian.
func TestOperate(t *testing.T) {
	dir := os.Getenv("SPECS_DEB")
	if dir == "" {
		t.Skip(`"make package-test" runs this`)
	}
	steps, err := Parse(operatePage(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := debian.Boot(t.Context(), filepath.Join(dir, "debian.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}()
	home := filepath.Join(c.Root, "root")
	deb, err := os.ReadFile(filepath.Join(dir, "new.deb"))
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "sallyport_1.deb"), deb, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	place := Place{
		Shell: func() *exec.Cmd { return c.Command(t.Context(), "bash", "--norc", "--noprofile") }, Home: home, Root: c.Root,
	}
	if err := place.Run(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	if installed("promtool") {
		if out, err := exec.Command("promtool", "check", "rules", filepath.Join(home, "sallyport.rules.yml")).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestOperateIsWhole sees that each command of the page is run, or has a reason not to be, and that its alerts use
// metrics that exist.
func TestOperateIsWhole(t *testing.T) {
	t.Parallel()
	page := operatePage(t)
	steps, err := Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	files := ""
	for _, step := range steps {
		files += step.Content
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(files, block[1]) {
			continue // a file, which commands use
		}
		for line := range strings.Lines(block[1]) {
			if notRun[strings.TrimSpace(line)] == "" {
				t.Errorf("%q is not run, and no reason is given", strings.TrimSpace(line))
			}
		}
	}
	names, err := exec.Command("sh", "-c", "cat ../../server/metrics/*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`sallyport_[a-z_]+_[a-z]+\b`).FindAllString(page, -1) {
		if !strings.Contains(string(names), strings.TrimPrefix(name, "sallyport_")) {
			t.Errorf("there is no metric %s", name)
		}
	}
}
