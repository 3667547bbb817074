package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/protocol/scram"
)

var (
	firstForm = regexp.MustCompile(`^(n|y|p=[A-Za-z0-9.-]*),(a=[^,]+)?,(n=([^,]+),r=([!-+--~]+)((?:,[A-Za-z]=[^,]+)*))$`)
	finalForm = regexp.MustCompile(`^(c=([^,]+),r=([!-+--~]+)((?:,[A-Za-z]=[^,]+)*)),p=([^,]*)$`)
	mandatory = regexp.MustCompile(`(^|,)m=[^,]*`)
)

const (
	salt       = "salt of the server"
	iterations = 4096
)

func server() {
	name, errName := scram.Prepare(os.Getenv("SALLYPORT_USER"))
	password, err := scram.Prepare(os.Getenv("SALLYPORT_PASSWORD"))
	if err != nil || errName != nil {
		refuse("no such account")
	}
	_, first := receive()
	switch fault {
	case "early":
		fmt.Println("ok")
		return
	case "flood":
		for range 1 << 20 {
			fmt.Println("+ " + strings.Repeat("A", 60))
		}
	case "hang":
		hang()
	case "dies":
		os.Exit(3)
	case "long":
		send("+", strings.Repeat("r=x", 1<<19))
	}
	bare, claimed, channel, known := judgeFirst(first, name)
	challenge := "r=" + firstForm.FindStringSubmatch(simple(first))[5] + nonce() + ",s=" + encode([]byte(salt)) + fmt.Sprint(",i=", iterations)
	if fault == "fresh-salt" && !known {
		challenge = strings.Replace(challenge, encode([]byte(salt)), encode([]byte(nonce())), 1)
	}
	send("+", challenge)
	_, final := receive()
	if !known && fault == "tells" {
		refuse("no such user " + claimed)
	}
	send("ok", "v="+judgeFinal(final, bare, challenge, channel, password, known))
}

// simple is client-first without what this server is lenient about.
func simple(first string) string {
	if fault == "extension" {
		return mandatory.ReplaceAllString(first, "")
	}
	return first
}

// judgeFirst returns the parts of client-first that are needed later. It refuses what is wrong.
func judgeFirst(first, name string) (bare, claimed, channel string, known bool) {
	m := firstForm.FindStringSubmatch(simple(first))
	if m == nil || mandatory.MatchString(m[6]) {
		refuse("malformed")
	}
	flag, authzid, claimed := m[1], m[2], unescape(m[4])
	plus := strings.HasSuffix(os.Getenv("SALLYPORT_MECHANISM"), "-PLUS")
	switch {
	case flag == "y" && os.Getenv("SALLYPORT_PLUS_OFFERED") == "1" && fault != "downgrade":
		refuse("downgrade")
	case plus != strings.HasPrefix(flag, "p="):
		refuse("binding")
	case plus && flag != "p="+os.Getenv("SALLYPORT_BINDING_TYPE") && fault != "type":
		refuse("binding type")
	case authzid != "" && unescape(authzid[2:]) != claimed && fault != "authzid":
		refuse("authzid")
	}
	header, _, _ := strings.Cut(first, "n="+m[4])
	header = strings.TrimSuffix(header, "m=x,")
	channel = header
	if plus {
		data, _ := base64.StdEncoding.DecodeString(os.Getenv("SALLYPORT_BINDING"))
		channel += string(data)
	}
	return strings.TrimPrefix(first, header), claimed, channel, claimed == name
}

func unescape(name string) string {
	rest := strings.NewReplacer("=2C", "", "=3D", "").Replace(name)
	if strings.Contains(rest, "=") && fault != "escapes" {
		refuse("escapes")
	}
	name = strings.NewReplacer("=2C", ",", "=2c", ",", "=3D", "=", "=3d", "=").Replace(name)
	if fault == "saslprep" {
		return name
	}
	prepared, err := scram.Prepare(name)
	if err != nil {
		refuse("name")
	}
	return prepared
}

// judgeFinal returns the signature, or refuses.
func judgeFinal(final, bare, challenge, channel, password string, known bool) string {
	m := finalForm.FindStringSubmatch(final)
	if fault == "extension" {
		m = finalForm.FindStringSubmatch(mandatory.ReplaceAllString(final, ""))
	}
	if m == nil || mandatory.MatchString(m[4]) {
		refuse("malformed")
	}
	bound, err := base64.StdEncoding.Strict().DecodeString(m[2])
	proof, errProof := base64.StdEncoding.Strict().DecodeString(m[5])
	withoutProof, _, _ := strings.Cut(final, ",p=")
	clientKey, storedKey, serverKey := keys(password, salt, iterations)
	_ = clientKey
	auth := bare + "," + challenge + "," + withoutProof
	sent, _, _ := strings.Cut(strings.TrimPrefix(challenge, "r="), ",")
	switch {
	case err != nil && fault != "binding", errProof != nil:
		refuse("base64")
	case m[3] != sent && fault != "nonce":
		refuse("nonce")
	case string(bound) != channel && fault != "binding":
		refuse("binding")
	case !proves(proof, storedKey, auth), !known:
		refuse("authentication failed")
	}
	if fault == "signature" {
		return encode(mac(storedKey, auth))
	}
	return encode(mac(serverKey, auth))
}
