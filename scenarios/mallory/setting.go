package mallory

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// Setting is what the header says of the two ends; fixtures/README.md lists it.
type Setting struct {
	User, Password, Authzid string   // as they are typed at the client
	Name, Stored            string   // name and password as the server has them
	Known                   bool     // the server knows Name
	Mechanism               string   // that the client chooses
	ServerMechanism         string   // that arrives at the server
	Flag                    string   // n or y, of the gs2 header of a client that doesn't bind
	Binding                 string   // that the client uses
	Bindings                []string // that the server can derive; if there are none it doesn't offer PLUS
	Salt                    string
	Iterations              int
}

const (
	password   = "alice's own secret"
	mockSecret = "secret of the mock" // of the salts for unknown names
)

func newSetting(header map[string]string) (s Setting, err error) {
	left := maps.Clone(header)
	delete(left, "each")
	take := func(key, otherwise string) string {
		value, bad := fixtures.Symbols{}.Render(cmp.Or(left[key], otherwise))
		delete(left, key)
		err = cmp.Or(err, bad)
		return value
	}
	s.User, s.Password, s.Authzid = take("user", "alice"), take("password", password), take("authzid", "")
	s.Name, s.Stored = take("name", s.User), take("stored", s.Password)
	s.Salt = "salt of " + s.Name
	s.Mechanism = take("mechanism", scram.SHA256Plus)
	s.ServerMechanism = take("server-mechanism", s.Mechanism)
	s.Flag, s.Binding = take("flag", "n"), take("binding", scram.TypeExporter)
	s.Bindings = strings.Fields(strings.TrimPrefix(take("bindings", scram.TypeExporter+" "+scram.TypeServerEndPoint), "none"))
	known := take("known", "yes")
	s.Known = known == "yes"
	iterations, bad := strconv.Atoi(take("iterations", strconv.Itoa(scram.MinIterations)))
	s.Iterations = iterations
	if err = cmp.Or(err, bad); err == nil && (len(left) > 0 || !s.Known && known != "no") {
		err = fmt.Errorf("there are no such settings: %q, known: %q", left, known)
	}
	return s, err
}
