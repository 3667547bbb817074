package mallory

import (
	"context"
	"errors"

	"github.com/sallyport/sallyport/protocol/scram"
)

// An End is one party of a conversation. Next hears a message, nil before the
// first, and says the next one, nil after the last. An error, of which the
// [scram.Error] is the reason, ends the conversation.
type End interface {
	Next(ctx context.Context, heard []byte) (said []byte, err error)
}

// EndFunc is an end in one function.
type EndFunc func(ctx context.Context, heard []byte) ([]byte, error)

// Next calls f.
func (f EndFunc) Next(ctx context.Context, heard []byte) ([]byte, error) { return f(ctx, heard) }

// client is the client of protocol/scram.
type client struct {
	*scram.Client
	step int
}

// Client is the user at the client of protocol/scram.
func (s *Script) Client(bindings map[string][]byte) (End, error) {
	c, err := scram.NewClient(scram.ClientConfig{
		Username: s.Setting.User, Password: s.Setting.Password, Authzid: s.Setting.Authzid,
		Mechanism: s.Setting.Mechanism, ServerLacksPlus: s.Setting.Flag == "y",
		Binding: scram.ChannelBinding{Type: s.Setting.Binding, Data: bindings[s.Setting.Binding]},
		Keys:    &s.keys.client, Rand: s.Rand,
	})
	return &client{c, 0}, err
}

func (c *client) Next(ctx context.Context, heard []byte) ([]byte, error) {
	c.step++
	switch c.step {
	case 1:
		return c.First()
	case 2:
		return c.Final(ctx, heard)
	}
	return nil, c.Verify(heard)
}

// Server is the server of protocol/scram.
func (s *Script) Server(bindings map[string][]byte) End {
	config := scram.ServerConfig{
		Mechanism: s.Setting.ServerMechanism, PlusOffered: len(s.Setting.Bindings) > 0, Lookup: s.Lookup, Rand: s.Rand,
	}
	for _, name := range s.Setting.Bindings {
		config.Bindings = append(config.Bindings, scram.ChannelBinding{Type: name, Data: bindings[name]})
	}
	server := scram.NewServer(config)
	next := server.First
	return EndFunc(func(_ context.Context, heard []byte) ([]byte, error) {
		said, err := next(heard)
		next = server.Final
		return said, err
	})
}

// Lookup is the server's memory: the user, and a mock for everybody else.
func (s *Script) Lookup(name string) (scram.Verifier, bool) {
	v, err := s.Verifier()
	if err != nil {
		return v, false
	}
	mock := scram.NewMock([]byte(mockSecret), []scram.Verifier{v}).Verifier(name)
	if s.Setting.Known && name == s.Setting.Name {
		return v, true
	}
	return mock, false
}

// reason is the token of an error.
func reason(err error) string {
	if token, ok := errors.AsType[scram.Error](err); ok {
		return string(token)
	}
	return err.Error()
}
