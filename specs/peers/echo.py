"""Log in to a Sallyport server and have it echo a text. Standard library only.

usage: python3 echo.py HOST PORT CA.pem NAME TEXT [MECHANISM]

It asks for the password, or takes it from standard input. CA.pem is the file
ca.pem of the server's state directory. MECHANISM is SCRAM-SHA-256-PLUS unless
it is SCRAM-SHA-256, which leaves the channel binding out.
"""

import base64
import contextlib
import getpass
import hashlib
import hmac
import secrets
import smtplib
import ssl
import sys

UNPROVED = "the server did not prove that it knows the password"


class Scram:
    """One login (RFC 5802, RFC 7677): what smtplib.SMTP.auth() calls."""

    def __init__(self, name, password, certificate=None):
        if not (name + password).isascii():
            raise ValueError("only ASCII names and passwords: there is no SASLprep here")
        self.verified = False
        self.steps = self.conversation(name, password.encode(), certificate)

    def __call__(self, challenge=None):
        return self.steps.send(challenge)

    def conversation(self, name, password, certificate):
        gs2, binding = b"n,,", b""
        if certificate:
            # Python's ssl can't do tls-exporter; tls-server-end-point (RFC 5929)
            # is the certificate's hash: SHA-256 where that is what signed it,
            # as it is with the certificates that Sallyport makes.
            gs2, binding = b"p=tls-server-end-point,,", hashlib.sha256(certificate).digest()
        nonce = secrets.token_urlsafe(18)
        bare = "n=%s,r=%s" % (name.replace("=", "=3D").replace(",", "=2C"), nonce)
        server_first = (yield gs2.decode() + bare).decode()

        fields = dict(field.split("=", 1) for field in server_first.split(","))
        iterations = int(fields["i"])
        if not fields["r"].startswith(nonce) or not 4096 <= iterations <= 1_000_000:
            raise ValueError("the server's challenge is not acceptable")
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(fields["s"]), iterations)
        client_key = mac(salted, b"Client Key")
        final = "c=%s,r=%s" % (base64.b64encode(gs2 + binding).decode(), fields["r"])
        auth = ",".join((bare, server_first, final)).encode()
        signature = mac(hashlib.sha256(client_key).digest(), auth)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        server_final = yield final + ",p=" + base64.b64encode(proof).decode()

        expected = b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), auth))
        if not hmac.compare_digest(server_final, expected):
            raise ValueError(UNPROVED)
        self.verified = True
        yield ""


def mac(key, message):
    return hmac.digest(key, message, "sha256")


class Context(ssl.SSLContext):
    """Verifies the server, and takes a connection that was cut for an error."""

    def wrap_socket(self, *args, **kwargs):
        return super().wrap_socket(*args, suppress_ragged_eofs=False, **kwargs)


def login(host, port, ca, name, password, mechanism="SCRAM-SHA-256-PLUS"):
    """Return an smtplib.SMTP that has the seat: docmd(VERB, ARGUMENT) asks."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    smtp = smtplib.SMTP_SSL(host, int(port), "localhost", context=context)
    try:
        plus = mechanism.endswith("-PLUS")
        scram = Scram(name, password, smtp.sock.getpeercert(binary_form=True) if plus else None)
        code, text = smtp.auth(mechanism, scram)
        # auth() believes a 235 before any proof, and takes a 503 for success.
        if not scram.verified:
            raise ValueError(UNPROVED)
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, text)
        return smtp
    except BaseException:
        smtp.close()
        raise


def main(host, port, ca, name, text, *mechanism):
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    with contextlib.closing(login(host, port, ca, name, password, *mechanism)) as smtp:
        code, reply = smtp.docmd("ECHO", text)
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        print(reply.decode())
        smtp.quit()


if __name__ == "__main__":
    if not 6 <= len(sys.argv) <= 7:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, LookupError, ValueError) as error:  # smtplib's and ssl's among them
        sys.exit(f"echo.py: {error}")
