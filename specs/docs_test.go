package specs

import (
	"os"
	"regexp"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// namedFiles returns the files of this repository that a text names in backquotes.
func namedFiles(text string) (names []string) {
	for _, match := range regexp.MustCompile("`((?:fixtures|specs|server|scenarios)/[^`]+\\.[a-z]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// missing returns the names of files that don't exist.
func missing(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Stat("../" + name)
		return err == nil
	})
}

var _ = Describe("SECURITY.md", Label("area:docs"), func() {
	It("names only files that exist", func(SpecContext) {
		text, err := os.ReadFile("../SECURITY.md")
		Expect(err).NotTo(HaveOccurred())
		names := namedFiles(string(text))
		Expect(names).NotTo(BeEmpty())
		Expect(missing(names)).To(BeEmpty())
	})

	It("would be found to name a file that doesn't", Label("control"), func(SpecContext) {
		Expect(missing(namedFiles("`fixtures/no/such.txtar`, `fixtures/login/guessed.txtar`"))).To(Equal([]string{"fixtures/no/such.txtar"}))
	})
})
