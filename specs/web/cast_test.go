package web

import (
	"context"
	"testing/fstest"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

// stories is what the page is about: one scenario for each way to end, with the
// things in them that are hard to show.
func stories() fstest.MapFS {
	return fstest.MapFS{
		"admission/waits.txtar": {Data: []byte(`# promise:1 battery:21 The second client waits, and is told who it waits for.
matrix tls=1.2,1.3
server admission=queue depth=4
alice login
bob   login &
bob   notices 'position 1 holder alice'
alice ask ECHO 'only me'
alice hears 250 'only me'
alice ask REFUSE
alice hears 550
alice quit
wait
bob   ask TIME
bob   hears 250
! eve saw 'only me'
log   has event=session.open user=bob
log   verify
`)},
		"admission/wrong.txtar": {Data: []byte(`# promise:2 A reply that is not the one expected.
server
alice login
alice ask ECHO 'a long argument that does not fit into one line of the diagram, nor into two of them, because it goes on and on'
alice hears 251 'something else'
`)},
		"privacy/hostile.txtar": {Data: []byte(`# promise:3 A name that would like to be markup is shown as it is.
server
alice connect generic
alice hears 220
alice sends '</text></svg><script>document.title="owned"</script><img src="https://evil.example/x.png">' ‮evil‬ &quot;
alice hears 530
`)},
		"chat/says.txtar": {Data: []byte(`# promise:5 The operator and the seated client talk.
server
alice login
operator says 'the arm is hot: 80 °C, 触らないで'
alice notices 'hot'
alice ask SAY 'thank you'
operator hears 'thank you'
`)},
		"login/skipped.txtar": {Data: []byte(`# rfc:9266 A combination that makes no sense is skipped.
skip 'there is no exporter to bind to'
`)},
	}
}

// play runs all stories, each in all its combinations.
func play(ctx context.Context) ([]scenarios.Result, error) {
	all, err := scenarios.Load(stories())
	if err != nil {
		return nil, err
	}
	var results []scenarios.Result
	for _, s := range all {
		for _, c := range s.Matrix {
			results = append(results, scenarios.Run(ctx, s, c, &scenarios.Target{Timeout: 2 * time.Second}))
		}
	}
	return results, nil
}
