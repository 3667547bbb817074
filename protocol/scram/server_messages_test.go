package scram

import (
	"fmt"
	"strings"
	"testing"
)

var plusConfig = ServerConfig{Mechanism: SHA256Plus, Bindings: []ChannelBinding{endPoint, exporter}, PlusOffered: true}

func TestServerFirst(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64<<10)
	ok := func(battery int, name, first string) loginCase {
		return loginCase{battery: battery, name: name, first: first}
	}
	bad := func(battery int, name, first string) loginCase {
		return loginCase{battery: battery, name: name, first: first, stage: "first", want: ErrMalformed}
	}
	named := func(c loginCase, user string) loginCase { c.user = user; return c }
	runCases(t, []loginCase{
		bad(5, "empty nonce", "n,,n=user,r="),
		bad(5, "comma in nonce", "n,,n=user,r=cno,nce"),
		bad(5, "comma behind nonce", "n,,n=user,r=cnonce,"),
		bad(5, "control in nonce", "n,,n=user,r=cno\x01nce"),
		bad(5, "DEL in nonce", "n,,n=user,r=cno\x7fnce"),
		bad(5, "space in nonce", "n,,n=user,r=cno nce"),
		bad(5, "non-ASCII in nonce", "n,,n=user,r=cnönce"),
		bad(5, "64 KiB nonce", "n,,n=user,r="+long),
		bad(5, "64 KiB name", "n,,n="+long+",r=cnonce"),
		ok(5, "every character a nonce may have", "n,,n=user,r=!\"#$%&'()*+-./09:;<=>?@AZ[\\]^_`az{|}~"),
		ok(5, "longest nonce", "n,,n=user,r="+long[:maxNonce]),
		bad(5, "nonce one octet too long", "n,,n=user,r="+long[:maxNonce+1]),
		named(ok(5, "longest name", "n,,n="+long[:MaxName]+",r=cnonce"), long[:MaxName]),
		named(bad(5, "name one octet too long", "n,,n="+long[:MaxName+1]+",r=cnonce"), long[:MaxName+1]),
		ok(5, "longest message", "n,,n=user,r=cnonce,x="+long[:maxMessage-len(standardFirst)-3]),
		bad(5, "message one octet too long", "n,,n=user,r=cnonce,x="+long[:maxMessage-len(standardFirst)-2]),

		bad(10, "comma", ","),
		bad(10, "gs2 header alone", "n,,"),
		bad(10, "no gs2 header", "n=user,r=cnonce"),
		bad(10, "half a gs2 header", "n,n=user,r=cnonce"),
		bad(10, "no flag", ",,n=user,r=cnonce"),
		bad(10, "unknown flag", "x,,n=user,r=cnonce"),
		bad(10, "upper-case flag", "N,,n=user,r=cnonce"),
		bad(10, "non-standard flag", "F,n,,n=user,r=cnonce"),
		bad(10, "flag n with a value", "n=tls-exporter,,n=user,r=cnonce"),
		bad(10, "flag y with an empty value", "y=,,n=user,r=cnonce"),
		bad(10, "flag p without a value", "p,,n=user,r=cnonce"),
		bad(10, "no name", "n,,r=cnonce"),
		bad(10, "empty name", "n,,n=,r=cnonce"),
		bad(10, "no nonce", "n,,n=user"),
		bad(10, "name twice", "n,,n=user,n=user,r=cnonce"),
		bad(10, "nonce twice", "n,,n=user,r=cnonce,r=cnonce"),
		bad(10, "reordered", "n,,r=cnonce,n=user"),
		bad(10, "upper-case name attribute", "n,,N=user,r=cnonce"),
		bad(10, "upper-case nonce attribute", "n,,n=user,R=cnonce"),
		bad(10, "m= in front", "n,,m=x,n=user,r=cnonce"),
		bad(10, "m= behind the name", "n,,n=user,m=x,r=cnonce"),
		bad(10, "m= behind the nonce", "n,,n=user,r=cnonce,m=x"),
		bad(10, "known attribute as an extension", "n,,n=user,r=cnonce,i=1"),
		bad(10, "extension in front", "n,,x=1,n=user,r=cnonce"),
		bad(10, "extension without a value", "n,,n=user,r=cnonce,x="),
		bad(10, "extension without =", "n,,n=user,r=cnonce,x"),
		bad(10, "extension with a long name", "n,,n=user,r=cnonce,xy=1"),
		bad(10, "extension named by a digit", "n,,n=user,r=cnonce,1=1"),
		bad(10, "extension twice", "n,,n=user,r=cnonce,x=1,x=2"),
		bad(10, "CRLF behind", "n,,n=user,r=cnonce\r\n"),

		ok(11, "extension", "n,,n=user,r=cnonce,x=anything = at all"),
		ok(11, "extensions", "n,,n=user,r=cnonce,x=1,X=2"),

		ok(12, "no authzid", "n,,n=user,r=cnonce"),
		ok(12, "equal authzid", "n,a=user,n=user,r=cnonce"),
		ok(12, "authzid equal after preparation", "n,a=us\u00ader,n=user,r=cnonce"),
		named(ok(12, "escaped authzid", "n,a=a=2Cb,n=a=2Cb,r=cnonce"), "a,b"),
		bad(12, "other authzid", "n,a=root,n=user,r=cnonce"),
		bad(12, "authzid in upper case", "n,a=USER,n=user,r=cnonce"),
		bad(12, "empty authzid", "n,a=,n=user,r=cnonce"),
		bad(12, "both empty", "n,a=,n=,r=cnonce"),
		bad(12, "authzid without a=", "n,user,n=user,r=cnonce"),
		bad(12, "upper-case A=", "n,A=user,n=user,r=cnonce"),
		bad(12, "badly escaped authzid", "n,a==41,n=user,r=cnonce"),

		named(ok(13, "=2C", "n,,n=a=2Cb,r=cnonce"), "a,b"),
		named(ok(13, "=3D", "n,,n=a=3Db,r=cnonce"), "a=b"),
		named(ok(13, "=3D2C is no comma", "n,,n=a=3D2Cb,r=cnonce"), "a=2Cb"),
		named(ok(13, "both", "n,,n==2C=3D=3D=2C,r=cnonce"), ",==,"),
		bad(13, "=2c", "n,,n=a=2cb,r=cnonce"),
		bad(13, "=3d", "n,,n=a=3db,r=cnonce"),
		bad(13, "=41", "n,,n=a=41b,r=cnonce"),
		bad(13, "lone =", "n,,n=a=b,r=cnonce"),
		bad(13, "= at the end", "n,,n=a=,r=cnonce"),
		bad(13, "half an escape", "n,,n=a=2,r=cnonce"),
		bad(13, "= before an escape", "n,,n=a==2C,r=cnonce"),
		bad(13, "bare comma", "n,,n=a,b,r=cnonce"),

		bad(14, "invalid UTF-8", "n,,n=us\xffer,r=cnonce"),
		bad(14, "overlong UTF-8", "n,,n=us\xc0\xafer,r=cnonce"),
		bad(14, "surrogate", "n,,n=us\xed\xa0\x80er,r=cnonce"),
		bad(14, "invalid UTF-8 in an extension", "n,,n=user,r=cnonce,x=\xff"),
		bad(14, "NUL", "n,,n=us\x00er,r=cnonce"),
		bad(14, "C1 control", "n,,n=us\u0085er,r=cnonce"),
		bad(14, "control in an extension", "n,,n=user,r=cnonce,x=\t"),
		named(ok(14, "U+2168 is IX", "n,,n=\u2168,r=cnonce"), "IX"),
		ok(14, "U+00AD vanishes", "n,,n=us\u00ader,r=cnonce"),
		named(ok(14, "U+00A0 is a space", "n,,n=the\u00a0user,r=cnonce"), "the user"),
		bad(14, "nothing left", "n,,n=\u00ad,r=cnonce"),
		bad(14, "prohibited", "n,,n=us\ue000er,r=cnonce"),
		bad(14, "bidi", "n,,n=\u0627a,r=cnonce"),
		bad(14, "unassigned in Unicode 3.2", "n,,n=\U0001f600,r=cnonce"),
	})
}

func TestServerBinding(t *testing.T) {
	t.Parallel()
	with := func(mechanism string, offered bool, bindings ...ChannelBinding) ServerConfig {
		return ServerConfig{Mechanism: mechanism, PlusOffered: offered, Bindings: bindings}
	}
	bad := func(battery int, name string, cfg ServerConfig, gs2 string, want Error) loginCase {
		return loginCase{battery: battery, name: name, cfg: cfg, first: gs2 + ",,n=user,r=cnonce", stage: "first", want: want}
	}
	ok := func(battery int, name string, cfg ServerConfig, gs2 string) loginCase {
		return bad(battery, name, cfg, gs2, "").succeeds()
	}
	runCases(t, []loginCase{
		bad(6, "y, PLUS offered", with(SHA256, true), "y", ErrBindingDowngrade),
		ok(6, "y, PLUS not offered", with(SHA256, false), "y"),
		ok(6, "n, PLUS offered", with(SHA256, true), "n"),
		bad(6, "PLUS with n", plusConfig, "n", ErrMalformed),
		bad(6, "PLUS with y", plusConfig, "y", ErrMalformed),
		bad(6, "plain with p", with(SHA256, true, exporter), "p=tls-exporter", ErrMalformed),
		bad(6, "plain with an unknown p", with(SHA256, true, exporter), "p=tls-unique", ErrMalformed),

		ok(7, "tls-exporter", plusConfig, "p=tls-exporter"),
		ok(7, "tls-server-end-point", plusConfig, "p=tls-server-end-point"),
		bad(7, "tls-unique", plusConfig, "p=tls-unique", ErrBindingType),
		bad(7, "unknown", plusConfig, "p=tls-nothing", ErrBindingType),
		bad(7, "empty", plusConfig, "p=", ErrBindingType),
		bad(7, "upper case", plusConfig, "p=TLS-EXPORTER", ErrBindingType),
		bad(7, "upper-case flag", plusConfig, "P=tls-exporter", ErrMalformed),
		bad(7, "prefix", plusConfig, "p=tls-export", ErrBindingType),
		bad(7, "longer", plusConfig, "p=tls-exporter=x", ErrBindingType),

		bad(9, "type not derivable here", with(SHA256Plus, true, exporter), "p=tls-server-end-point", ErrBindingType),
		ok(9, "control: type derivable", with(SHA256Plus, true, exporter), "p=tls-exporter"),
	})
	runFaulty := func(name string, cfg ServerConfig, gs2 string) { // no control can succeed with these
		t.Run("battery=9/"+name, func(t *testing.T) {
			t.Parallel()
			bad(9, name, cfg, gs2, ErrBindingType).run(t)
		})
	}
	runFaulty("nothing derivable", with(SHA256Plus, true), "p=tls-exporter")
	runFaulty("no data", with(SHA256Plus, true, ChannelBinding{Type: TypeExporter}), "p=tls-exporter")
	runFaulty("no type", with(SHA256Plus, true, ChannelBinding{Data: exporter.Data}), "p=")
	runFaulty("type of another's", with(SHA256Plus, true, ChannelBinding{"tls-unique", exporter.Data}), "p=tls-unique")
}

func (c loginCase) succeeds() loginCase { c.stage = ""; return c }

func TestServerFinal(t *testing.T) {
	t.Parallel()
	signed := func(battery int, name string, cfg ServerConfig, want Error, final func(channel, nonce string) string) loginCase {
		c := loginCase{battery: battery, name: name, cfg: cfg, final: final, stage: "final", want: want}
		c.first = c.control().first
		return c
	}
	bad := func(battery int, name string, want Error, final func(channel, nonce string) string) loginCase {
		return signed(battery, name, ServerConfig{}, want, final)
	}
	ok := func(battery int, name string, final func(channel, nonce string) string) loginCase {
		return bad(battery, name, "", final).succeeds()
	}
	nonceIs := func(change func(string) string) func(string, string) string {
		return func(c, r string) string { return "c=" + c + ",r=" + change(r) }
	}
	channelIs := func(c string) func(string, string) string {
		return func(_, r string) string { return "c=" + c + ",r=" + r }
	}
	octets := func(parts ...string) func(string, string) string {
		return channelIs(encode([]byte(strings.Join(parts, ""))))
	}
	data := string(exporter.Data)
	const p = "p=tls-exporter,,"
	runCases(t, []loginCase{
		bad(3, "client part only", ErrNonce, nonceIs(func(string) string { return "cnonce" })),
		bad(3, "server part only", ErrNonce, nonceIs(func(r string) string { return strings.TrimPrefix(r, "cnonce") })),
		bad(3, "other", ErrNonce, nonceIs(func(string) string { return "other" })),
		bad(3, "truncated", ErrNonce, nonceIs(func(r string) string { return r[:len(r)-1] })),
		bad(3, "extended", ErrNonce, nonceIs(func(r string) string { return r + "x" })),
		bad(3, "lower case", ErrNonce, nonceIs(strings.ToLower)),
		bad(3, "empty", ErrMalformed, nonceIs(func(string) string { return "" })),
		bad(3, "not printable", ErrMalformed, nonceIs(func(r string) string { return r + "ö" })),
		bad(3, "nonce comes before the binding", ErrNonce, func(_, r string) string { return "c=eSws,r=" + r + "x" }),

		bad(9, "other gs2 flag", ErrBindingMismatch, octets("y,,")),
		bad(9, "other authzid", ErrBindingMismatch, octets("n,a=user,")),
		bad(9, "short", ErrBindingMismatch, octets("n,")),
		bad(9, "long", ErrBindingMismatch, octets("n,,", "x")),
		bad(9, "empty", ErrMalformed, channelIs("")),
		bad(9, "binding data where none is due", ErrBindingMismatch, octets("n,,", data)),
		signed(9, "PLUS: control", plusConfig, "", octets(p, data)).succeeds(),
		signed(9, "PLUS: no data", plusConfig, ErrBindingMismatch, octets(p)),
		signed(9, "PLUS: n,,", plusConfig, ErrBindingMismatch, octets("n,,")),
		signed(9, "PLUS: data alone", plusConfig, ErrBindingMismatch, octets(data)),
		signed(9, "PLUS: short", plusConfig, ErrBindingMismatch, octets(p, data[1:])),
		signed(9, "PLUS: long", plusConfig, ErrBindingMismatch, octets(p, data, "x")),
		signed(9, "PLUS: another connection's", plusConfig, ErrBindingMismatch, octets(p, strings.ToUpper(data))),
		signed(9, "PLUS: other type's data", plusConfig, ErrBindingMismatch, octets(p, string(endPoint.Data))),
		signed(9, "PLUS: other type's header", plusConfig, ErrBindingMismatch, octets("p=tls-server-end-point,,", data)),

		bad(10, "no c=", ErrMalformed, func(_, r string) string { return "r=" + r }),
		bad(10, "no r=", ErrMalformed, func(c, _ string) string { return "c=" + c }),
		bad(10, "c= twice", ErrMalformed, func(c, r string) string { return "c=" + c + ",c=" + c + ",r=" + r }),
		bad(10, "r= twice", ErrMalformed, func(c, r string) string { return "c=" + c + ",r=" + r + ",r=" + r }),
		bad(10, "reordered", ErrMalformed, func(c, r string) string { return "r=" + r + ",c=" + c }),
		bad(10, "upper-case C", ErrMalformed, func(c, r string) string { return "C=" + c + ",r=" + r }),
		bad(10, "upper-case R", ErrMalformed, func(c, r string) string { return "c=" + c + ",R=" + r }),
		bad(10, "m= in final", ErrMalformed, func(c, r string) string { return "c=" + c + ",r=" + r + ",m=x" }),
		bad(10, "m= in front", ErrMalformed, func(c, r string) string { return "m=x,c=" + c + ",r=" + r }),
		bad(10, "p= twice", ErrMalformed, func(c, r string) string { return "c=" + c + ",r=" + r + ",p=AAAA" }),
		bad(10, "extension twice", ErrMalformed, func(c, r string) string { return "c=" + c + ",r=" + r + ",x=1,x=1" }),
		bad(10, "nothing between commas", ErrMalformed, func(c, r string) string { return "c=" + c + ",r=" + r + "," }),

		ok(11, "extension", func(c, r string) string { return "c=" + c + ",r=" + r + ",x=1,Y==" }),

		bad(15, "space in c=", ErrMalformed, channelIs("bi ws")),
		bad(15, "line end in c=", ErrMalformed, channelIs("bi\r\nws")),
		bad(15, "URL alphabet in c=", ErrMalformed, channelIs("bi-_")),
		bad(15, "c= without padding", ErrMalformed, channelIs("biw")),
		bad(15, "c= with trailing bits", ErrMalformed, channelIs("bix=")),
		bad(15, "c= padded too much", ErrMalformed, channelIs("biws====")),
		bad(15, "data behind the padding", ErrMalformed, channelIs("biw=biws")),
	})
}

// What happens to client-final on its way.
func TestServerProof(t *testing.T) {
	t.Parallel()
	split := func(final string) (string, string) {
		i := strings.LastIndex(final, ",p=") + 3
		return final[:i], final[i:]
	}
	proofIs := func(change func(proof string) string) func(string) string {
		return func(final string) string {
			head, proof := split(final)
			return head + change(proof)
		}
	}
	binary := func(change func([]byte) []byte) func(string) string {
		return proofIs(func(proof string) string { return encode(change(decode(proof))) })
	}
	bad := func(battery int, name string, want Error, alter func(string) string) loginCase {
		return loginCase{battery: battery, name: name, alter: alter, stage: "final", want: want}
	}
	cases := []loginCase{
		bad(10, "no proof", ErrMalformed, func(f string) string { head, _ := split(f); return strings.TrimSuffix(head, ",p=") }),
		bad(10, "upper-case P", ErrMalformed, func(f string) string { return strings.Replace(f, ",p=", ",P=", 1) }),
		bad(10, "proof alone", ErrMalformed, func(f string) string { _, p := split(f); return "p=" + p }),
		bad(10, "proof alone behind a comma", ErrMalformed, func(f string) string { _, p := split(f); return ",p=" + p }),
		bad(10, "proof first", ErrMalformed, func(f string) string { h, p := split(f); return "p=" + p + "," + h[:len(h)-3] }),
		bad(10, "data behind", ErrMalformed, func(f string) string { return f + ",x=1" }),
		bad(10, "comma behind", ErrMalformed, func(f string) string { return f + "," }),
		bad(10, "empty message", ErrMalformed, func(string) string { return "" }),
		bad(11, "extension added on the way", ErrWrongProof, func(f string) string { return strings.Replace(f, ",p=", ",x=1,p=", 1) }),
		bad(14, "NUL", ErrMalformed, func(f string) string { return f + "\x00" }),
		bad(15, "proof in the URL alphabet", ErrMalformed, func(f string) string { h, p := split(f); return h + "-_" + p[2:] }),
		bad(15, "proof without padding", ErrMalformed, func(f string) string { return strings.TrimRight(f, "=") }),
		bad(15, "proof with trailing bits", ErrMalformed, trailingBits),
		bad(15, "proof with a line end", ErrMalformed, func(f string) string { return f + "\n" }),
		bad(15, "proof with a space", ErrMalformed, func(f string) string { return f + " " }),
		bad(16, "empty", ErrMalformed, proofIs(func(string) string { return "" })),
		bad(16, "31 octets", ErrMalformed, binary(func(p []byte) []byte { return p[:31] })),
		bad(16, "33 octets", ErrMalformed, binary(func(p []byte) []byte { return append(p, 0) })),
		bad(16, "64 octets", ErrMalformed, binary(func(p []byte) []byte { return append(p, p...) })),
		bad(16, "zeros", ErrWrongProof, binary(func([]byte) []byte { return make([]byte, 32) })),
		bad(5, "64 KiB", ErrMalformed, func(f string) string { return f + strings.Repeat("x", 64<<10) }),
	}
	for i := range 32 {
		cases = append(cases, bad(16, fmt.Sprintf("octet %d", i), ErrWrongProof, binary(func(p []byte) []byte { p[i] ^= 1; return p })))
	}
	runCases(t, cases)
}

// trailingBits sets a bit that the last character of a proof, which is followed by =, doesn't have.
func trailingBits(final string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := len(final) - 2
	return final[:i] + string(alphabet[strings.IndexByte(alphabet, final[i])|1]) + "="
}
