package show_test

import (
	"os"
	"strings"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
)

func ExampleRecords() {
	log := `{"time":"2026-03-01T12:00:00.000000Z","level":"info","event":"session.open","conn":"7","user":"alice","waited":18.46,"chain":"…"}
{"time":"2026-03-01T12:00:00.250000Z","level":"info","event":"request","conn":"7","n":1,"verb":"ECHO","argument_bytes":0,"code":250,"duration":8.2e-06,"chain":"…"}
`
	file := audit.File{Name: "audit.jsonl", Reader: strings.NewReader(log)}
	if err := show.Records(os.Stdout, show.Options{User: "alice"}, file); err != nil {
		panic(err)
	}
	// Output:
	// 2026-03-01 12:00:00.000Z 7        session.open  user=alice waited=18.5 s
	// 2026-03-01 12:00:00.250Z 7        request       n=1 verb=ECHO code=250 duration=8.2 µs
}
