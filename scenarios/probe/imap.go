package probe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// imapCaller speaks IMAP (RFC 9051, with SASL-IR of RFC 4959) to a server.
type imapCaller struct {
	*Link
	tags         int
	capabilities []string
}

func (c *imapCaller) Open(l *Link) (Offer, error) {
	c.Link = l
	greeting, err := c.Line()
	if err != nil || !strings.HasPrefix(greeting, "* OK") {
		return Offer{}, refusedToServe("", []string{greeting}, err)
	}
	offer := Offer{Banner: strings.TrimPrefix(greeting, "* OK ")}
	if _, behind, found := strings.Cut(offer.Banner, "] "); found && strings.HasPrefix(offer.Banner, "[CAPABILITY ") {
		offer.Banner = behind
	}
	err = c.ask("CAPABILITY")
	if err == nil && c.TLS() == nil && slices.Contains(c.capabilities, "STARTTLS") {
		if err = c.ask("STARTTLS"); err == nil {
			err = c.Upgrade()
		}
		if err == nil {
			err = c.ask("CAPABILITY") // anew: an attacker may have changed the answer before TLS
		}
	}
	for _, capability := range c.capabilities {
		if mechanism, ok := strings.CutPrefix(capability, "AUTH="); ok {
			offer.Mechanisms = append(offer.Mechanisms, mechanism)
		}
	}
	return offer, err
}

// ask sends a command that must succeed.
func (c *imapCaller) ask(command string) error {
	if err := c.command(command); err != nil {
		return err
	}
	a, err := c.answer()
	if err == nil && a.Kind != Success {
		err = fmt.Errorf("%w: %s: %.200q", errWords, command, a.Words)
	}
	return err
}

func (c *imapCaller) command(command string) error {
	c.tags++
	return c.Send("a" + strconv.Itoa(c.tags) + " " + command)
}

func (c *imapCaller) Start(mechanism string, initial []byte) (Answer, error) {
	if slices.Contains(c.capabilities, "SASL-IR") {
		if err := c.command("AUTHENTICATE " + mechanism + " " + orEqual(initial)); err != nil {
			return Answer{}, err
		}
		return c.answer()
	}
	if err := c.command("AUTHENTICATE " + mechanism); err != nil {
		return Answer{}, err
	}
	if a, err := c.answer(); err != nil || a.Kind != Challenge {
		return a, err
	}
	return c.Next(initial)
}

func (c *imapCaller) Next(response []byte) (Answer, error) {
	if err := c.Send(encode(response)); err != nil {
		return Answer{}, err
	}
	return c.answer()
}

func (c *imapCaller) Leave() { _ = c.command("LOGOUT") }

// answer reads up to a continuation request or the end of the command.
func (c *imapCaller) answer() (Answer, error) {
	words := ""
	for range maxLines {
		line, err := c.Line()
		if err != nil {
			return Answer{}, err
		}
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == "+":
			data, err := decode(rest)
			return Answer{Kind: Challenge, Data: data}, err
		case mark == "*":
			c.untagged(rest)
			if strings.HasPrefix(rest, "BYE") {
				words = rest
			}
		case mark == "a"+strconv.Itoa(c.tags):
			kind := Refusal
			if status, _, _ := strings.Cut(rest, " "); strings.EqualFold(status, "OK") {
				kind = Success
			}
			return Answer{Kind: kind, Words: strings.TrimSpace(words + " " + rest)}, nil
		default:
			return Answer{}, fmt.Errorf("%w: %.200q", errWords, line)
		}
	}
	return Answer{}, errFlood
}

func (c *imapCaller) untagged(rest string) {
	if words := strings.Fields(strings.ToUpper(rest)); len(words) > 0 && words[0] == "CAPABILITY" {
		c.capabilities = words[1:]
	}
}
