package protocol

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll takes lines until the source ends or a line is refused.
func readAll(src io.Reader) (lines []string, err error) {
	r := NewReader(src)
	for {
		line, err := r.ReadLine()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}

func TestReaderTakesLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine-2)
	for name, test := range map[string]struct {
		in   string
		want []string
		err  error
	}{
		"two lines":          {"NOOP\r\nQUIT\r\n", []string{"NOOP", "QUIT"}, io.EOF},
		"empty line":         {"\r\nX\r\n", []string{"", "X"}, io.EOF},
		"tab and utf-8":      {"a\tü \u00a0\r\n", []string{"a\tü \u00a0"}, io.EOF},
		"greatest line":      {long + "\r\n", []string{long}, io.EOF},
		"one byte more":      {long + "x\r\n", nil, ErrLineTooLong},
		"endless line":       {strings.Repeat("x", 3*MaxLine), nil, ErrLineTooLong},
		"bare LF":            {"NOOP\n", nil, ErrSyntax},
		"bare LF after line": {"A\r\nNOOP\nQUIT\r\n", []string{"A"}, ErrSyntax},
		"bare CR":            {"NO\rOP\r\n", nil, ErrSyntax},
		"CR CR LF":           {"NOOP\r\r\n", nil, ErrSyntax},
		"C1 control":         {"a\u0085b\r\n", nil, ErrSyntax},
		"torn UTF-8":         {"a\xc3\r\n", nil, ErrSyntax},
		"no line end":        {"NOOP", nil, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, src := range map[string]io.Reader{
				"whole":        strings.NewReader(test.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(test.in)),
			} {
				lines, err := readAll(src)
				if diff := cmp.Diff(test.want, lines); diff != "" || !errors.Is(err, test.err) {
					t.Errorf("%s: error %v, want %v; lines (-want +got):\n%s", how, err, test.err, diff)
				}
			}
		})
	}
}

// The reader looks at eight bytes at a time. Its rule holds for each of them.
func TestEveryByteEverywhere(t *testing.T) {
	t.Parallel()
	for at := range 20 {
		for c := range 256 {
			line := bytes.Repeat([]byte{'x'}, 20)
			line[at] = byte(c)
			want := error(io.EOF)
			if c < ' ' && c != '\t' || c >= 0x80 { // such a byte alone is not UTF-8
				want = ErrSyntax
			}
			if _, err := readAll(bytes.NewReader(append(line, "\r\n"...))); !errors.Is(err, want) {
				t.Errorf("byte %#02x at %d: %v, want %v", c, at, err, want)
			}
		}
	}
}

func TestReaderBuffersNoMoreThanOneLine(t *testing.T) {
	t.Parallel()
	src := strings.NewReader(strings.Repeat("x", 1<<20))
	if _, err := readAll(src); !errors.Is(err, ErrLineTooLong) {
		t.Fatal(err)
	}
	if taken := 1<<20 - src.Len(); taken > MaxLine {
		t.Errorf("read %d bytes of an endless line", taken)
	}
}

// stutter fails every second read, as when a deadline wakes a reader.
type stutter struct {
	src  io.Reader
	fail bool
}

var errWoken = errors.New("woken")

func (s *stutter) Read(p []byte) (int, error) {
	if s.fail = !s.fail; s.fail {
		return 0, errWoken
	}
	return s.src.Read(p)
}

func TestReaderKeepsWhatItHasWhenWoken(t *testing.T) {
	t.Parallel()
	r := NewReader(&stutter{src: iotest.OneByteReader(strings.NewReader("BODY 3 ECHO\r\nabcNOOP\r\n"))})
	var got []string
	read := func(f func() error) {
		for {
			err := f()
			if err == nil {
				return
			}
			if !errors.Is(err, errWoken) {
				t.Fatal(err)
			}
		}
	}
	line := func() error {
		line, err := r.ReadLine()
		got = append(got, string(line))
		if err != nil {
			got = got[:len(got)-1]
		}
		return err
	}
	read(line)
	body := make([]byte, 3)
	for n := 0; n < len(body); {
		m, err := r.Read(body[n:])
		if n += m; err != nil && !errors.Is(err, errWoken) {
			t.Fatal(err)
		}
	}
	got = append(got, string(body))
	read(line)
	if diff := cmp.Diff([]string{"BODY 3 ECHO", "abc", "NOOP"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Command{
		"NOOP":                              {Verb: []byte("NOOP")},
		"echo  two spaces ":                 {Verb: []byte("echo"), Argument: []byte(" two spaces ")},
		"ECHO ":                             {Verb: []byte("ECHO"), Argument: []byte{}},
		"":                                  {Verb: []byte{}},
		" NOOP":                             {Verb: []byte{}, Argument: []byte("NOOP")},
		"BODY 0 ECHO":                       {Verb: []byte("ECHO"), HasBody: true},
		"body 12 ECHO a b":                  {Verb: []byte("ECHO"), Argument: []byte("a b"), HasBody: true, Body: 12},
		"BODY 99999999999999999999999 ECHO": {Verb: []byte("ECHO"), HasBody: true, Body: math.MaxInt64},
	} {
		got, err := ParseCommand([]byte(line))
		if diff := cmp.Diff(want, got); err != nil || diff != "" && string(want.Argument) != string(got.Argument) {
			t.Errorf("%q: %v\n%s", line, err, diff)
		}
	}
	for _, line := range []string{
		"BODY", "BODY ", "BODY 5", "BODY 5 ", "BODY  5 ECHO", "BODY -1 ECHO", "BODY +1 ECHO",
		"BODY 05 ECHO", "BODY 0x5 ECHO", "BODY 5x ECHO", "BODY 5  ECHO", "BODY ECHO 5", "BODY \u0665 ECHO",
	} {
		if got, err := ParseCommand([]byte(line)); !errors.Is(err, ErrArgument) {
			t.Errorf("%q: taken as %+v", line, got)
		}
	}
}

func TestRequestAppend(t *testing.T) {
	t.Parallel()
	for want, request := range map[string]Request{
		"TIME\r\n":            {Verb: "TIME"},
		"ECHO a  b\r\n":       {Verb: "ECHO", Argument: "a  b"},
		"BODY 0 ECHO\r\n":     {Verb: "ECHO", Body: []byte{}},
		"BODY 2 PUT name\r\n": {Verb: "PUT", Argument: "name", Body: []byte("hi")},
	} {
		got, err := request.Append(nil)
		if err != nil || string(got) != want {
			t.Errorf("%+v: %q, %v", request, got, err)
		}
	}
	for _, argument := range []string{"a\r\nQUIT", "a\n", "\x00", "\xff", "\u0085"} {
		request := Request{Verb: "ECHO", Argument: argument}
		if got, err := request.Append(nil); !errors.Is(err, ErrSyntax) || len(got) != 0 {
			t.Errorf("%q: %q, %v", argument, got, err)
		}
	}
	request := Request{Verb: "ECHO", Argument: strings.Repeat("x", MaxLine)}
	if _, err := request.Append(nil); !errors.Is(err, ErrLineTooLong) {
		t.Error(err)
	}
}

func TestReplyGoesThereAndBack(t *testing.T) {
	t.Parallel()
	for text, reply := range map[string]Reply{
		"250 done\r\n":                      {Code: 250, Text: "done"},
		"250 \r\n":                          {Code: 250},
		"250-a\r\n250-\r\n250 c\r\n":        {Code: 250, Text: "a\n\nc"},
		"421 busy try later\r\n":            {Code: 421, Text: "busy try later"},
		"120 position 1 holder alice b\r\n": {Code: 120, Text: "position 1 holder alice b"},
		"334 \r\n":                          {Code: 334},
		"250-250 nested\r\n250 250-x\r\n":   {Code: 250, Text: "250 nested\n250-x"},
	} {
		out, err := reply.Append([]byte("x"))
		if err != nil || string(out) != "x"+text {
			t.Errorf("%+v: %q, %v", reply, out, err)
		}
		got, _, err := ReadReply(NewReader(strings.NewReader(text)))
		if diff := cmp.Diff(reply, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	body := Reply{Code: CodeBody, Text: "of no\nmeaning here", Body: []byte("abc")}
	if out, err := body.Append(nil); string(out) != "251 3\r\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if got, n, err := ReadReply(NewReader(strings.NewReader("251 3\r\nabc"))); got.Code != 251 || n != 3 || err != nil {
		t.Error(got, n, err)
	}
	for _, text := range []string{"a\rb", "a\x1b", strings.Repeat("x", MaxLine), "ok\n\x00"} {
		reply := Reply{Code: 250, Text: text}
		if out, err := reply.Append([]byte("x")); err == nil || string(out) != "x" {
			t.Errorf("%.20q was sent as %.40q", text, out)
		}
	}
}

func TestReadReplyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"25 x\r\n", "250\r\n", "250x\r\n", "2x0 a\r\n", "099 a\r\n", "600 a\r\n", "HTTP/1.1 400 Bad Request\r\n",
		"250-a\r\n251 3\r\n", "250-a\r\n550 b\r\n", "251 -1\r\n", "251 \r\n", "251 03\r\n", "251-3\r\n251 3\r\n", "251 3 \r\n",
		strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 300),
	} {
		if got, _, err := ReadReply(NewReader(strings.NewReader(text))); !errors.Is(err, ErrReply) {
			t.Errorf("%.40q: taken as %.60q, %v", text, got.Text, err)
		}
	}
}

func TestReplyError(t *testing.T) {
	t.Parallel()
	reply := Reply{Code: CodeClosing, Text: "busy somebody else is served"}
	var got *ReplyError
	if !errors.As(reply.Err(), &got) {
		t.Fatal(reply.Err())
	}
	want := &ReplyError{Code: 421, Keyword: KeywordBusy, Text: "somebody else is served"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if back := got.Reply(); back.Text != reply.Text || got.Error() != "421 "+reply.Text {
		t.Error(back, got)
	}
	if ok := (&Reply{Code: CodeDone, Text: "busy"}); ok.Err() != nil {
		t.Error(ok.Err())
	}
}

func TestValidVerb(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"A", "ECHO", "GET-2", strings.Repeat("A", MaxVerb)} {
		if !ValidVerb(verb) {
			t.Errorf("%q is refused", verb)
		}
	}
	for _, verb := range []string{"", "echo", "2GET", "-A", "A B", "É", strings.Repeat("A", MaxVerb+1)} {
		if ValidVerb(verb) {
			t.Errorf("%q is taken", verb)
		}
	}
	if got := string(AppendUpper(nil, []byte("eCho-2ü"))); got != "ECHO-2ü" {
		t.Error(got)
	}
}

// clientLines and serverLines are lines of good and bad logins and sessions.
var (
	clientLines = []string{
		"EHLO client", "AUTH SCRAM-SHA-256-PLUS biwsbj1hbGljZSxyPWFiYw==", "Yz1iaXdzLHI9YWJjZGVmLHA9QUFBQQ==", "", "*", "=",
		"bm93YWl0", "ECHO hello", "BODY 5 ECHO", "NOOP", "QUIT", "GET / HTTP/1.1", "SSH-2.0-x",
	}
	serverLines = []string{
		"220 sallyport sallyport/1 ready", "250-AUTH SCRAM-SHA-256", "250 ADMISSION queue", "334 cj1hYmNkZWYscz1RUT09LGk9NDA5Ng==",
		"334 dj1BQUFB", "235 welcome", "120 position 1 holder bob", "251 5", "251 99999999999999999999", "250 \x1b[2J", "hello",
		"421 busy bob has the seat", "504 mechanism not offered", "535 login-failed authentication failed", "221 bye",
	}
)

// FuzzReader checks that no line has a forbidden byte, and that the sizes of reads change nothing.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"NOOP\r\nQUIT\r\n", "a\nb", "a\rb\r\n", "\u0085\r\n", "\xff\r\n", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Add([]byte(strings.Join(clientLines, "\r\n") + "\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		lines, err := readAll(bytes.NewReader(in))
		again, err2 := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if !cmp.Equal(lines, again) || !errors.Is(err2, err) {
			t.Fatalf("%q, %v; byte by byte %q, %v", lines, err, again, err2)
		}
		for _, line := range lines {
			if strings.ContainsAny(line, "\r\n\x00") || len(line)+2 > MaxLine {
				t.Fatalf("took %q", line)
			}
		}
	})
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"NOOP", "BODY 3 ECHO x", "BODY 03 ECHO", "body  1 X", ""} {
		f.Add([]byte(seed))
	}
	for _, seed := range clientLines {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		command, err := ParseCommand(line)
		if err == nil && (command.Body < 0 || command.HasBody && len(command.Verb) == 0) {
			t.Fatalf("%+v", command)
		}
	})
}

// FuzzReadReply checks that a reply that was read can be written and read again.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 x\r\n", "250-a\r\n250 b\r\n", "251 12\r\n", "421 busy x\r\n", "250-a\r\n251 b\r\n"} {
		f.Add([]byte(seed))
	}
	for _, seed := range serverLines {
		f.Add([]byte(seed + "\r\n"))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, _, err := ReadReply(NewReader(bytes.NewReader(in)))
		if err != nil || reply.Code == CodeBody {
			return
		}
		text, err := reply.Append(nil)
		if err != nil {
			t.Fatalf("%+v can be read and not written: %v", reply, err)
		}
		again, _, err := ReadReply(NewReader(bytes.NewReader(text)))
		if err != nil || !cmp.Equal(reply, again) {
			t.Fatalf("%+v, then %+v, %v", reply, again, err)
		}
	})
}
