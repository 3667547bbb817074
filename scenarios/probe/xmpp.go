package probe

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Namespaces of RFC 6120.
const (
	nsTLS  = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL = "urn:ietf:params:xml:ns:xmpp-sasl"
)

// xmppCaller speaks XMPP (RFC 6120) to a server.
type xmppCaller struct {
	*Link
	domain string
	in     *xml.Decoder
}

// features are the parts of stream features that a login needs.
type features struct {
	StartTLS   *struct{} `xml:"urn:ietf:params:xml:ns:xmpp-tls starttls"`
	Mechanisms []string  `xml:"urn:ietf:params:xml:ns:xmpp-sasl mechanisms>mechanism"`
}

func (c *xmppCaller) Open(l *Link) (Offer, error) {
	c.Link = l
	f, err := c.stream()
	if err == nil && c.TLS() == nil && f.StartTLS != nil {
		if err = c.startTLS(); err == nil {
			f, err = c.stream() // anew: an attacker may have changed the answer before TLS
		}
	}
	return Offer{Mechanisms: f.Mechanisms}, err
}

// stream opens a stream, and reads the server's features.
func (c *xmppCaller) stream() (f features, err error) {
	var name strings.Builder
	_ = xml.EscapeText(&name, []byte(c.domain)) // a Builder has no errors
	_, err = fmt.Fprintf(c, `<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`, &name)
	if err != nil {
		return f, err
	}
	c.in = xml.NewDecoder(c.Link)
	for range maxLines {
		element, err := c.element()
		switch {
		case err != nil:
			return f, err
		case element.Name.Local == "features":
			return f, c.decode(&f, element)
		case element.Name.Local != "stream":
			return f, fmt.Errorf("%w: <%s> in place of its features", errWords, element.Name.Local)
		}
	}
	return f, errFlood
}

// element reads up to the beginning of the next element.
func (c *xmppCaller) element() (xml.StartElement, error) {
	for {
		token, err := c.in.Token()
		if err != nil {
			return xml.StartElement{}, c.wrong(err)
		}
		if element, ok := token.(xml.StartElement); ok {
			return element, nil
		}
	}
}

func (c *xmppCaller) decode(into any, element xml.StartElement) error {
	return c.wrong(c.in.DecodeElement(into, &element))
}

// wrong returns errWords for malformed XML, and errors of a link as they are.
func (c *xmppCaller) wrong(err error) error {
	if syntax, ok := err.(*xml.SyntaxError); ok {
		return fmt.Errorf("%w: %w", errWords, syntax)
	}
	return err
}

func (c *xmppCaller) startTLS() error {
	if _, err := fmt.Fprintf(c, `<starttls xmlns='%s'/>`, nsTLS); err != nil {
		return err
	}
	element, err := c.element()
	if err != nil {
		return err
	}
	if err := c.in.Skip(); err != nil {
		return c.wrong(err)
	}
	if element.Name.Local != "proceed" {
		return fmt.Errorf("%w: <%s> in place of <proceed>", errWords, element.Name.Local)
	}
	return c.Upgrade()
}

func (c *xmppCaller) Start(mechanism string, initial []byte) (Answer, error) {
	_, err := fmt.Fprintf(c, `<auth xmlns='%s' mechanism='%s'>%s</auth>`, nsSASL, mechanism, orEqual(initial))
	if err != nil {
		return Answer{}, err
	}
	return c.answer()
}

func (c *xmppCaller) Next(response []byte) (Answer, error) {
	if _, err := fmt.Fprintf(c, `<response xmlns='%s'>%s</response>`, nsSASL, encode(response)); err != nil {
		return Answer{}, err
	}
	return c.answer()
}

func (c *xmppCaller) Leave() { _, _ = c.Write([]byte("</stream:stream>")) }

// failure is the server's refusal, of the login or (RFC 6120 §4.9) of the stream: a condition, and perhaps a text.
type failure struct {
	Text       string `xml:"text"`
	Conditions []struct {
		XMLName xml.Name
	} `xml:",any"`
}

func (c *xmppCaller) answer() (Answer, error) {
	element, err := c.element()
	if err != nil {
		return Answer{}, err
	}
	switch element.Name.Local {
	case "challenge", "success":
		var text string
		if err := c.decode(&text, element); err != nil {
			return Answer{}, err
		}
		return saslData(element.Name.Local, strings.TrimSpace(text))
	case "failure", "error":
		var f failure
		if err := c.decode(&f, element); err != nil {
			return Answer{}, err
		}
		words := f.Text
		for _, condition := range f.Conditions {
			words = strings.TrimSpace(condition.XMLName.Local + " " + words)
		}
		return Answer{Kind: Refusal, Words: words}, nil
	}
	return Answer{}, fmt.Errorf("%w: <%s> within the login", errWords, element.Name.Local)
}

func saslData(element, text string) (Answer, error) {
	if element == "success" && text == "" {
		return Answer{Kind: Success}, nil
	}
	data, err := decode(text)
	if element == "success" {
		return Answer{Kind: Success, Data: data}, err
	}
	return Answer{Kind: Challenge, Data: data}, err
}
