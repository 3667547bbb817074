package probe

import (
	"fmt"
	"strconv"
	"strings"
)

// A Folded has the results of one case with several logins. All have the same verdict for the same reason.
type Folded struct {
	// Result is one of All, if possible without channel binding, because its messages are shorter.
	Result
	All []Result
}

// Fold folds the results of each case: one Folded for each verdict, in the order of the results.
func Fold(all []Result) (folded []Folded) {
	for _, r := range all {
		i := len(folded) - 1
		for ; i >= 0 && caseOf(folded[i].Name) == caseOf(r.Name) && !folded[i].takes(&r); i-- {
		}
		if i >= 0 && folded[i].takes(&r) {
			folded[i].All = append(folded[i].All, r)
			if strings.HasSuffix(folded[i].Mechanism, "-PLUS") && !strings.HasSuffix(r.Mechanism, "-PLUS") {
				folded[i].Result = r
			}
		} else {
			folded = append(folded, Folded{r, []Result{r}})
		}
	}
	return folded
}

// takes reports whether a result differs from f in the login only.
func (f *Folded) takes(r *Result) bool {
	return caseOf(f.Name) == caseOf(r.Name) && f.About == r.About && f.Verdict == r.Verdict && f.Reason == r.Reason && f.Known == r.Known
}

// SameCase reports whether two results are of one case, with different logins.
func SameCase(a, b *Result) bool { return caseOf(a.Name) == caseOf(b.Name) }

// caseOf returns the name of a result without its login.
func caseOf(name string) string {
	name, _, _ = strings.Cut(name, " ")
	return name
}

// Names returns the name of the case with all its logins, as in "16-proof/flipped plus 16..31, plain".
func (f *Folded) Names() string {
	var logins []string
	last, from, to := "", 0, 0
	for _, r := range f.All {
		_, login, _ := strings.Cut(r.Name, " ")
		kind, number, _ := strings.Cut(login, " ")
		n, err := strconv.Atoi(number)
		if err == nil && kind == last && n == to+1 {
			to, logins = n, logins[:len(logins)-1]
			login = fmt.Sprintf("%s %d..%d", kind, from, to)
		} else if last = ""; err == nil {
			last, from, to = kind, n, n
		}
		logins = append(logins, login)
	}
	return strings.TrimSpace(caseOf(f.Name) + " " + strings.Join(logins, ", "))
}

// Login returns the login whose exchange is shown, as in "plain" or "plus 16".
func (f *Folded) Login() string {
	_, login, _ := strings.Cut(f.Name, " ")
	return login
}

// Mechanisms returns the mechanisms of the logins.
func (f *Folded) Mechanisms() (names []string) {
	for _, r := range f.All {
		names = addNew(names, r.Mechanism)
	}
	return names
}

// covers reports whether a name, as Names returns it, includes a result. A name without a login includes all results of
// the case.
func covers(name string, r *Result) bool {
	stanza, logins, some := strings.Cut(name, " ")
	_, login, _ := strings.Cut(r.Name, " ")
	if stanza != caseOf(r.Name) || !some {
		return stanza == caseOf(r.Name)
	}
	kind, number, _ := strings.Cut(login, " ")
	for one := range strings.SplitSeq(logins, ", ") {
		oneKind, numbers, some := strings.Cut(one, " ")
		var from, to int
		_, err := fmt.Sscanf(numbers, "%d..%d", &from, &to)
		n, noNumber := strconv.Atoi(number)
		if one == login || oneKind == kind && noNumber == nil && (!some || err == nil && from <= n && n <= to) {
			return true
		}
	}
	return false
}
