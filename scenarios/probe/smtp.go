package probe

import (
	"fmt"
	"strings"
)

// smtpCaller speaks SMTP (RFC 5321, RFC 3207, RFC 4954) to a server, or Sallyport's protocol, which has the same
// lines.
type smtpCaller struct {
	*Link
	native bool // TLS has begun, and notices may come
}

func (c *smtpCaller) Open(l *Link) (Offer, error) {
	c.Link = l
	code, lines, err := c.reply()
	if err != nil || code != "220" {
		return Offer{}, refusedToServe(code, lines, err)
	}
	offer := Offer{Banner: lines[0]}
	capabilities, err := c.hello()
	if err == nil && c.TLS() == nil && hasWord(capabilities, "STARTTLS") {
		if code, lines, err = c.ask("STARTTLS"); err != nil || code != "220" {
			return offer, refusedToServe(code, lines, err)
		}
		if err = c.Upgrade(); err == nil {
			capabilities, err = c.hello() // anew: an attacker may have changed the answer before TLS
		}
	}
	for _, line := range capabilities {
		if words := strings.Fields(strings.Replace(strings.ToUpper(line), "AUTH=", "AUTH ", 1)); len(words) > 0 && words[0] == "AUTH" {
			offer.Mechanisms = append(offer.Mechanisms, words[1:]...)
		}
	}
	return offer, err
}

func refusedToServe(code string, lines []string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %q %.200q", errWords, code, strings.Join(lines, " "))
}

func hasWord(lines []string, word string) bool {
	for _, line := range lines {
		if strings.EqualFold(line, word) {
			return true
		}
	}
	return false
}

func (c *smtpCaller) hello() ([]string, error) {
	code, lines, err := c.ask("EHLO localhost")
	if err == nil && code != "250" {
		err = refusedToServe(code, lines, nil)
	}
	return lines, err
}

func (c *smtpCaller) Start(mechanism string, initial []byte) (Answer, error) {
	return c.answer("AUTH " + mechanism + " " + orEqual(initial))
}

func (c *smtpCaller) Next(response []byte) (Answer, error) { return c.answer(encode(response)) }

func (c *smtpCaller) Leave() { _ = c.Send("QUIT") }

func (c *smtpCaller) answer(line string) (Answer, error) {
	code, lines, err := c.ask(line)
	words := code + " " + strings.Join(lines, " ")
	switch {
	case err != nil:
		return Answer{}, err
	case code == "334":
		data, err := decode(lines[0])
		return Answer{Kind: Challenge, Data: data, Words: words}, err
	case strings.HasPrefix(code, "2"):
		return Answer{Kind: Success, Words: words}, nil
	}
	return Answer{Kind: Refusal, Words: words}, nil
}

func (c *smtpCaller) ask(line string) (code string, lines []string, err error) {
	if err := c.Send(line); err != nil {
		return "", nil, err
	}
	return c.reply()
}

// reply reads one reply, which may have several lines.
func (c *smtpCaller) reply() (code string, lines []string, err error) {
	for range maxLines {
		line, err := c.Line()
		if err != nil {
			return "", nil, err
		}
		notice := c.native && strings.HasPrefix(line, "12")
		switch {
		case notice:
			continue
		case len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-':
			return "", nil, fmt.Errorf("%w: %.200q is no reply", errWords, line)
		}
		lines = append(lines, strings.TrimLeft(line[3:], " -"))
		if len(line) == 3 || line[3] == ' ' {
			return line[:3], lines, nil
		}
	}
	return "", nil, errFlood
}

// smtpHost speaks SMTP, or Sallyport's protocol, to a client.
type smtpHost struct {
	*Link
	native bool
}

func (h *smtpHost) Open(l *Link, mechanisms []string) (mechanism string, initial []byte, err error) {
	h.Link = l
	greeting := "220 localhost ESMTP"
	if h.native {
		greeting = "220 localhost sallyport/1 ready"
	}
	if err := h.Send(greeting); err != nil {
		return "", nil, err
	}
	for range maxLines {
		line, err := h.Line()
		if err != nil {
			return "", nil, err
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			err = h.Send(h.capabilities(mechanisms)...)
		case "STARTTLS":
			if err = h.Send("220 go ahead"); err == nil {
				err = h.Upgrade()
			}
		case "AUTH":
			return h.auth(rest)
		case "QUIT":
			return "", nil, h.Send("221 bye")
		default:
			err = h.Send("502 not now")
		}
		if err != nil {
			return "", nil, err
		}
	}
	return "", nil, errFlood
}

func (h *smtpHost) capabilities(mechanisms []string) []string {
	auth := "250 AUTH " + strings.Join(mechanisms, " ")
	switch {
	case h.native:
		return []string{"250-localhost", "250-" + auth[4:], "250 ADMISSION queue"}
	case h.TLS() == nil && h.config != nil:
		return []string{"250-localhost", "250 STARTTLS"}
	}
	return []string{"250-localhost", auth}
}

func (h *smtpHost) auth(rest string) (mechanism string, initial []byte, err error) {
	mechanism, text, given := strings.Cut(rest, " ")
	if !given {
		if initial, err = h.Challenge(nil); err != nil {
			return "", nil, err
		}
		return strings.ToUpper(mechanism), initial, nil
	}
	initial, err = decode(text)
	return strings.ToUpper(mechanism), initial, err
}

func (h *smtpHost) Challenge(message []byte) ([]byte, error) {
	if err := h.Send("334 " + encode(message)); err != nil {
		return nil, err
	}
	line, err := h.Line()
	if err == nil && line == "*" {
		err = errCancelled
	}
	if err != nil {
		return nil, err
	}
	return decode(line)
}

func (h *smtpHost) Succeed(message []byte) (next string, err error) {
	if message != nil {
		if _, err := h.Challenge(message); err != nil {
			return "", err
		}
	}
	if err := h.Send("235 2.7.0 logged in"); err != nil {
		return "", err
	}
	return h.serve()
}

func (h *smtpHost) Refuse() error {
	if err := h.Send("535 5.7.8 authentication failed"); err != nil {
		return err
	}
	_, err := h.serve()
	return err
}

// serve answers commands until the client leaves. next is the first command that needs a login, or empty.
func (h *smtpHost) serve() (next string, err error) {
	for range maxLines {
		line, err := h.Line()
		if err != nil {
			return next, nil
		}
		reply := "250 ok"
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "QUIT":
			return next, h.Send("221 bye")
		case "DATA":
			if err := h.mail(); err != nil {
				return next, nil
			}
		case "", "*", "RSET":
		default:
			if next == "" {
				next = line
			}
		}
		if err := h.Send(reply); err != nil {
			return next, nil
		}
	}
	return next, errFlood
}

// mail takes the text of a message.
func (h *smtpHost) mail() error {
	err := h.Send("354 go ahead")
	for line := ""; err == nil && line != "."; {
		line, err = h.Line()
	}
	return err
}
