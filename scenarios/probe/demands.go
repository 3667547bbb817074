package probe

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
)

// demands has a sentence for each rule. names has the beginnings of the names of its cases. only is a section or a
// rule, and empty means any. The first row that fits a case counts.
var demands = []struct{ names, only, sentence string }{
	{"22-", "limit", "A client bounds the iterations that it does, because a server can ask for any number"},
	{"", "limit", "A peer bounds the sizes of its input, but not too narrowly"},
	{"", "RFC 5802 §2.1", "Base64 has one form for each value: the bits that are left over are zero, and there is no padding without need"},
	{"14-", "policy", "A name has no code points that Unicode 3.2 lacks, and an extension has no control characters"},
	{"10- 25-", "policy", "An extension stands in a message once, and has no control characters"},
	{"23-", "policy", "The server adds something to the nonce of the client, and its salt is not empty"},
	{"01-unknown-user/wrong", "", "A server refuses a proof that was made from another password"},
	{"01-unknown-user/other-case", "", "SASLprep does not fold case: a name in another case is another name"},
	{"01- checks/unknown-user", "", "A server's answers do not show who has an account"},
	{"03-", "", "The nonce of client-final is exactly the one that the server has sent in server-first"},
	{"05-", "", "A nonce is one printable ASCII character or more, without a comma or a space"},
	{"06-downgrade/y-", "", "The flag y says that the server offers no -PLUS mechanism. A server that does offer one refuses it, because somebody has removed the offer on its way"},
	{"06-", "", "The flag p goes with a -PLUS mechanism, and n and y go with one without -PLUS"},
	{"07-", "RFC 5802 §7", "Only the flag p names a type of channel binding"},
	{"07-", "", "A server refuses a type of channel binding that it does not support"},
	{"08-", "", "c= has the channel binding of the server's own connection. Otherwise somebody is in between"},
	{"09-channel-binding/no-binding 09-channel-binding/no-e", "", "A server refuses a type of channel binding that it does not have on this connection"},
	{"09-", "", "c= is the base64 of exactly the gs2 header of client-first, and of the channel binding if the flag is p. The server compares it"},
	{"10-attributes/first-empty-name", "", "A name is not empty"},
	{"10-attributes/final-no-", "", "Client-final has c=, r= and p="},
	{"10-attributes/final-proof-", "RFC 5802 §6", "Client-final has c=, r= and p="},
	{"10- 18-", "RFC 5802 §5", "Client-first begins with n, y or p=, and client-final has a proof. Anything else fails the login"},
	{"10- 24-server-final/m- 25-server-first/m-", "RFC 5802 §5.1", "m= is reserved for extensions; its presence in a message MUST fail the login"},
	{"10-", "RFC 5802 §7", "A message has its attributes once, in the order of the grammar, in the case of the grammar; extensions are a letter, = and a value"},
	{"11-extensions/added 23-", "RFC 5802 §3", "The proof covers every byte of the messages, so a change on the way makes it wrong"},
	{"11-", "", "An optional extension that a peer does not know is ignored, and covered by the proof"},
	{"12-authzid/badly 13-", "", "In n= and a= a comma is =2C and an equals sign is =3D. A server refuses any other equals sign"},
	{"12-", "RFC 5802 §7", "An authorization identity is a= and at least one character, in the gs2 header"},
	{"12-authzid/e", "", "A server that supports an authorization identity (a=) accepts the user's own name there"},
	{"12-", "", "A server refuses an authorization identity (a=) that the user may not act as"},
	{"14-", "RFC 5802 §7", "Names and extensions are UTF-8 without NUL"},
	{"14-", "RFC 3629 §3", "UTF-8 has one form for each character, and no surrogates"},
	{"14-", "", "Names and passwords are prepared with SASLprep (RFC 4013) before they are compared"},
	{"15-", "RFC 5802 §6", "c= is exactly the base64 that the server makes of the same bytes"},
	{"15-", "", "Base64 is in the standard alphabet, with padding, without white space"},
	{"16-", "", "A proof has exactly as many bytes as the hash, and all are compared"},
	{"22-", "RFC 5802 §7", "i= is a decimal number from 1 on, without a sign or a leading zero"},
	{"22-iterations/more", "", "A client does as many iterations as i= says"},
	{"22-", "", "A server asks for at least 4,096 iterations. Fewer make a password easy to guess, so a client refuses them"},
	{"23-", "RFC 5802 §5.1", "The nonce of server-first begins with the nonce of the client. The client compares it"},
	{"23-", "", "r= is printable ASCII that adds something to the nonce of the client, and s= is base64"},
	{"24-server-final/extension 25-server-first/extension", "", "An optional extension that a peer does not know is ignored"},
	{"24-server-final/e-", "RFC 5802 §5", "e= is the server's error: the login has failed"},
	{"24-server-final/failure 25-server-first/failure", "", "Where the protocol says that the login has failed, the client does not go on as if it had succeeded"},
	{"24-", "RFC 5802 §7", "Server-final is v= and the signature in base64, and then extensions if there are any"},
	{"24-", "", "A client believes a server only if the whole of v= is the right signature: without it the server need not know the password"},
	{"25-server-first/success", "", "A client believes no success before it has the server's signature: without it the server need not know the password"},
	{"25-", "", "Server-first is r=, s= and i=, each once and in this order, and then extensions if there are any"},
	{"26-", "", "A server refuses a login from which somebody in between has removed the channel binding: the flag and c= show it"},
	{"checks/replay", "", "A server refuses a recorded login: its own nonce is different each time"},
	{"checks/binding", "RFC 5802 §6", "A server that can bind with no type of channel binding offers no -PLUS mechanism"},
	{"checks/binding", "RFC 9266 §3", "A server that supports channel binding on TLS 1.3 has the type tls-exporter"},
	{"checks/binding", "", "A server has each type of channel binding that clients may ask for"},
	{"checks/certificate", "", "A certificate is replaced before it ends"},
}

// demand returns the rule of a case in a sentence.
func demand(r *Result) string {
	for _, d := range demands {
		fits := func(name string) bool { return strings.HasPrefix(r.Name, name) }
		if (d.names == "" || slices.ContainsFunc(strings.Fields(d.names), fits)) && (d.only == "" || d.only == r.Section || d.only == r.Rule) {
			return d.sentence
		}
	}
	return "A login in which nothing is wrong succeeds"
}

// succeeds is the expectation for a login without a fault.
const succeeds = "nothing is wrong, and the login succeeds"

// expected returns the right reaction of a peer to a vector.
func expected(v *fixtures.Vector) string {
	switch {
	case v.Found.Stage == fixtures.Done:
		return succeeds
	case slices.Contains(v.Needs, "carrier"):
		return "the client ends the login, and does not believe that it is logged in"
	case v.Found.By == string(ClientRole):
		return "the client refuses " + v.Found.Stage + ", and does not believe that it is logged in"
	}
	return "the server refuses " + v.Found.Stage
}
