package mallory

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// Setting is what the header says of the two ends. User, Password and Authzid are
// typed at the client, Name and Stored are what the server keeps.
type Setting struct {
	User, Password, Authzid string
	Name, Stored            string
	Known                   bool   // the server knows Name
	Mechanism               string // that the client chooses
	ServerMechanism         string // that the server is told
	Flag                    string // of the gs2 header, without a binding: n or y
	Binding                 string // that the client uses, with one
	Bindings                []string
	Salt                    string
	Iterations              int
}

// defaults of the settings; those that are absent are another one's.
const (
	password   = "alice's own secret"
	mockSecret = "secret of the mock" // of the salts for unknown names
)

func newSetting(header map[string]string) (Setting, error) {
	take := func(key, otherwise string) string {
		return cmp.Or(header[key], otherwise)
	}
	s := Setting{
		User: take("user", "alice"), Password: take("password", password), Authzid: header["authzid"],
		Mechanism: take("mechanism", scram.SHA256Plus), Flag: take("flag", "n"), Binding: take("binding", scram.TypeExporter),
		Known: take("known", "yes") == "yes",
	}
	s.Name, s.Stored = take("name", s.User), take("stored", s.Password)
	s.ServerMechanism = take("server-mechanism", s.Mechanism)
	s.Salt = "salt of " + s.Name
	if bindings := take("bindings", scram.TypeExporter+" "+scram.TypeServerEndPoint); bindings != "none" {
		s.Bindings = strings.Fields(bindings)
	}
	iterations, err := strconv.Atoi(take("iterations", strconv.Itoa(scram.MinIterations)))
	s.Iterations = iterations
	for key := range header {
		if !strings.Contains(" user password authzid mechanism flag binding known name stored server-mechanism bindings iterations each ", " "+key+" ") {
			err = fmt.Errorf("%q is no setting", key)
		}
	}
	for _, text := range []*string{&s.User, &s.Password, &s.Authzid, &s.Name, &s.Stored} {
		rendered, bad := fixtures.Symbols{}.Render(*text)
		*text, err = rendered, cmp.Or(err, bad)
	}
	return s, err
}
