package scenarios

import (
	"fmt"
	"io"
	"strings"
	"time"

	"rsc.io/script"
)

// Explain writes what the language has: every command and condition, or all
// that the named commands can do.
func Explain(w io.Writer, names ...string) error {
	st := newStage(&Scenario{}, nil, &Target{}, time.Time{})
	engine := &script.Engine{Cmds: st.commands(), Conds: st.conditions()}
	for _, name := range names {
		if engine.Cmds[name] == nil {
			return fmt.Errorf("there is no command %q; there are: %s", name, strings.Join(commandNames(), " "))
		}
	}
	if len(names) > 0 {
		return engine.ListCmds(w, true, names...)
	}
	if err := engine.ListCmds(w, false); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, "\nA line can be guarded with conditions, which a ! inside turns round:"); err != nil {
		return err
	}
	return engine.ListConds(w, nil)
}
