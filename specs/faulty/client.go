package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol/scram"
)

var challengeForm = regexp.MustCompile(`^r=([!-+--~]+),s=([^,]*),i=([^,]+)((?:,[A-Za-z]=[^,]+)*)$`)

// proves compares the proof, or its first half.
func proves(proof, storedKey []byte, auth string) bool {
	want := len(storedKey)
	switch {
	case fault == "empty-proof" && len(proof) == 0:
		return true
	case len(proof) != want:
		return false
	}
	clientKey := mac(storedKey, auth)
	subtle.XORBytes(clientKey, clientKey, proof)
	if fault == "half-proof" { // it can be compared only where the key itself is stored
		own, _, _ := keys(mustPrepare(os.Getenv("SALLYPORT_PASSWORD")), salt, iterations)
		return equal(own[:want/2], clientKey[:want/2])
	}
	sum := sha256.Sum256(clientKey)
	return equal(sum[:], storedKey)
}

func mustPrepare(text string) string {
	prepared, err := scram.Prepare(text)
	if err != nil {
		os.Exit(1)
	}
	return prepared
}

// client logs in, and reports whether it believes that.
func client() bool {
	name, password := mustPrepare(os.Getenv("SALLYPORT_USER")), mustPrepare(os.Getenv("SALLYPORT_PASSWORD"))
	header, data := "n,,", []byte(nil)
	if strings.HasSuffix(os.Getenv("SALLYPORT_MECHANISM"), "-PLUS") {
		header = "p=" + os.Getenv("SALLYPORT_BINDING_TYPE") + ",,"
		data, _ = base64.StdEncoding.DecodeString(os.Getenv("SALLYPORT_BINDING"))
	} else if os.Getenv("SALLYPORT_PLUS_OFFERED") == "0" {
		header = "y,,"
	}
	own := nonce()
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) + ",r=" + own
	send("+", header+bare)
	verb, challenge := receive()
	if verb == "ok" {
		return fault == "early"
	}
	salt, n, combined := judgeChallenge(challenge, own)
	clientKey, storedKey, serverKey := keys(password, salt, n)
	withoutProof := "c=" + encode(append([]byte(header), data...)) + ",r=" + combined
	auth := bare + "," + challenge + "," + withoutProof
	subtle.XORBytes(clientKey, clientKey, mac(storedKey, auth))
	send("+", withoutProof+",p="+encode(clientKey))
	verb, last := receive()
	return verb == "ok" && judgeSignature(last, encode(mac(serverKey, auth)))
}

func judgeChallenge(challenge, own string) (salt string, n int, combined string) {
	if fault == "mandatory" {
		challenge = mandatory.ReplaceAllString(challenge, "")
		challenge = strings.TrimPrefix(challenge, ",")
	}
	m := challengeForm.FindStringSubmatch(challenge)
	if m == nil || mandatory.MatchString(m[4]) {
		os.Exit(1)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(m[2])
	n, errNumber := strconv.Atoi(m[3])
	switch {
	case fault == "iterations" && errNumber != nil:
		n, errNumber = 1, nil
	case n > 1_000_000:
		os.Exit(1)
	case n < 4096 && fault == "iterations":
		n = max(n, 1)
	case n < 4096, m[3][0] < '1':
		os.Exit(1)
	}
	if err != nil || errNumber != nil || fault != "nonce" && !strings.HasPrefix(m[1], own) {
		os.Exit(1)
	}
	return string(decoded), n, m[1]
}

func judgeSignature(last, signature string) bool {
	switch {
	case fault == "bare" && last == "", fault == "error" && strings.HasPrefix(last, "e="):
		return true
	case fault == "prefix" && len(last) > 20:
		return strings.HasPrefix("v="+signature, last[:20])
	case fault == "mandatory":
		last = strings.Trim(mandatory.ReplaceAllString(last, ""), ",")
	}
	return last == "v="+signature || strings.HasPrefix(last, "v="+signature+",") && !mandatory.MatchString(last)
}
