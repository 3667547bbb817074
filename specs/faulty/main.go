// Command faulty plays the server or the client of a login for sallyport probe, over standard input and output, with
// SCRAM as an ordinary program has it. The variable FAULT turns one thing wrong, which the prober must find:
//
//	FAULT=nonce sallyport probe server stdio: -- faulty server
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"time"
)

var (
	in    = bufio.NewReaderSize(os.Stdin, 1<<17)
	fault = os.Getenv("FAULT")
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "server" {
		server()
		return
	}
	if !client() {
		os.Exit(1)
	}
}

// receive reads a line, and returns the verb and the message.
func receive() (verb, message string) {
	line, err := in.ReadString('\n')
	if err != nil {
		os.Exit(1)
	}
	verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	data, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "="))
	return verb, string(data)
}

func send(verb, message string) {
	text := encode([]byte(message))
	if message == "" {
		text = "="
	}
	fmt.Println(verb, text)
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// keys returns ClientKey, StoredKey and ServerKey.
func keys(password, salt string, iterations int) (clientKey, storedKey, serverKey []byte) {
	salted, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size)
	if err != nil {
		os.Exit(1)
	}
	clientKey = mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	return clientKey, stored[:], mac(salted, "Server Key")
}

// refuse ends a login of the server.
func refuse(why string) {
	fmt.Println("no", why)
	os.Exit(0)
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func nonce() string { return rand.Text() }

// hang does not answer any more.
func hang() { time.Sleep(time.Hour) }
