// Command probed plays a server or a client of another implementation for sallyport probe: "probed xdg-server" and
// "probed xdg-client" over standard input and output, "probed go-mail HOST PORT CA USER PASSWORDFILE" and
// "probed pgx SETTINGS PASSWORDFILE".
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/wneessen/go-mail"
	"github.com/xdg-go/scram"
)

func main() {
	var err error
	switch role := os.Args[1]; role {
	case "xdg-server":
		err = xdgServer()
	case "xdg-client":
		err = xdgClient()
	case "go-mail":
		err = goMail(os.Args[2:])
	case "pgx":
		err = usePGX(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var in = bufio.NewReaderSize(os.Stdin, 1<<17)

func receive() (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if verb == "no" {
		return "", fmt.Errorf("refused: %s", text)
	}
	message, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "="))
	return string(message), err
}

func send(verb, message string) {
	fmt.Println(verb, base64.StdEncoding.EncodeToString([]byte(message)))
}

func account() (name, password string) {
	return os.Getenv("SALLYPORT_USER"), os.Getenv("SALLYPORT_PASSWORD")
}

func binding() (scram.ChannelBinding, bool) {
	data, _ := base64.StdEncoding.DecodeString(os.Getenv("SALLYPORT_BINDING"))
	b := scram.ChannelBinding{Type: scram.ChannelBindingType(os.Getenv("SALLYPORT_BINDING_TYPE")), Data: data}
	return b, strings.HasSuffix(os.Getenv("SALLYPORT_MECHANISM"), "-PLUS")
}

func xdgServer() error {
	name, password := account()
	owner, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		return err
	}
	stored, err := owner.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of the server", Iters: 4096})
	if err != nil {
		return err
	}
	server, err := scram.SHA256.NewServer(func(claimed string) (scram.StoredCredentials, error) {
		if claimed != name {
			return scram.StoredCredentials{}, fmt.Errorf("no such user")
		}
		return stored, nil
	})
	if err != nil {
		return err
	}
	conversation := server.NewConversation()
	switch b, plus := binding(); {
	case plus:
		conversation = server.NewConversationWithChannelBindingRequired(b)
	case os.Getenv("SALLYPORT_PLUS_OFFERED") == "1":
		conversation = server.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte("of another connection")})
	}
	for step := range 2 {
		message, err := receive()
		if err != nil {
			return err
		}
		reply, err := conversation.Step(message)
		switch {
		case err != nil:
			fmt.Println("no", err)
			return nil
		case step == 1:
			send("ok", reply)
		default:
			send("+", reply)
		}
	}
	return nil
}

func xdgClient() error {
	name, password := account()
	client, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		return err
	}
	conversation := client.NewConversation()
	if b, plus := binding(); plus {
		conversation = client.NewConversationWithChannelBinding(b)
	}
	message := ""
	for range 3 {
		reply, err := conversation.Step(message)
		if err != nil {
			return err
		}
		if conversation.Done() {
			break
		}
		send("+", reply)
		if message, err = receive(); err != nil {
			return err
		}
	}
	if !conversation.Valid() {
		return fmt.Errorf("not logged in")
	}
	return nil
}

func goMail(args []string) error {
	host, ca, user := args[0], args[2], args[3]
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	password, err := os.ReadFile(args[4])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := mail.NewClient(host, mail.WithPort(port), mail.WithSSL(), mail.WithHELO("localhost"),
		mail.WithTLSConfig(&tls.Config{RootCAs: roots, ServerName: host}),
		mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(user), mail.WithPassword(strings.TrimSpace(string(password))))
	if err != nil {
		return err
	}
	if err := c.DialWithContext(context.Background()); err != nil {
		return err
	}
	return c.Close()
}

// usePGX logs in to PostgreSQL, and asks it for nothing.
func usePGX(settings, passwordFile string) error {
	config, err := pgx.ParseConfig(settings)
	if err != nil {
		return err
	}
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return err
	}
	config.Password = strings.TrimSpace(string(password))
	ctx := context.Background()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	return conn.Close(ctx)
}
