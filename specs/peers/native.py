"""A native client of sallyport/1, made from protocol/README.md. Standard library only.

usage: python3 native.py HOST PORT CA.pem NAME EXERCISE

It takes the password from standard input, does an exercise, and prints what
came of it. The exercises are the functions at the end. CA.pem is the file
ca.pem of the server's state directory.
"""

import base64
import contextlib
import hashlib
import random
import select
import socket
import ssl
import sys

import echo

ALPN = "sallyport/1"
MAX_LINE = 8192
MAX_PIECE = 65_536
# WINDOW is how many octets beyond the last 153 leave the server reading.
WINDOW = 524_288
# PATIENCE is how long the server may be silent, in seconds.
PATIENCE = 20


class Client:
    """A connection. Notices (120, 121, 150) are kept in a list, in their order."""

    def __init__(self, host, port, ca):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(ca)
        context.set_alpn_protocols([ALPN])
        raw = socket.create_connection((host, int(port)), PATIENCE)
        # Without close_notify an end is an SSLEOFError.
        self.tls = context.wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=False)
        self.inbox, self.outbox, self.notices = bytearray(), bytearray(), []
        self.close = self.tls.close
        try:
            demand(self.tls.selected_alpn_protocol() == ALPN, "the server does not speak " + ALPN)
            self.tls.setblocking(False)
            self.wants("220")
        except BaseException:
            self.close()
            raise

    def move(self):
        """Send what can be sent and take what has come, or wait for either."""
        moved = 0
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if self.outbox:
                moved = self.tls.send(bytes(self.outbox[:MAX_PIECE]))
                del self.outbox[:moved]
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            octets = self.tls.recv(MAX_PIECE)
            if not octets:
                raise EOFError("the server has closed the connection")
            self.inbox += octets
            return
        if not moved:
            ready = select.select([self.tls], [self.tls] if self.outbox else [], [], PATIENCE)
            demand(any(ready), "the server is silent")

    def write(self, *parts):
        """Send lines (str) and octets (bytes) in one write."""
        self.outbox += b"".join(p if isinstance(p, bytes) else p.encode() + b"\r\n" for p in parts)

    def flush(self):
        while self.outbox:
            self.move()

    def octets(self, count):
        while len(self.inbox) < count:
            self.move()
        octets = bytes(self.inbox[:count])
        del self.inbox[:count]
        return octets

    def line(self):
        while (end := self.inbox.find(b"\r\n")) < 0:
            demand(len(self.inbox) < MAX_LINE, "the line is too long")
            self.move()
        return self.octets(end + 2)[:-2].decode()

    def event(self):
        """Return the code, the lines and the octets of a reply or of a 1yz line."""
        line = self.line()
        code, lines = line[:3], [line[4:]]
        while line[3] == "-":
            line = self.line()
            demand(line[:3] == code, "one code a reply")
            lines.append(line[4:])
        demand(line[3] == " ", "not a reply: " + line)
        return code, lines, self.octets(int(line[4:])) if code in ("151", "251") else b""

    def reply(self, *signs):
        """Return the next event that is a reply or has one of these 1yz codes."""
        while True:
            code, lines, octets = event = self.event()
            if code[0] != "1" or code in signs:
                return event
            demand(code not in ("151", "152", "153"), "no stream runs, but there is a " + code)
            self.notices.append(code + " " + lines[0])

    def wants(self, code, *signs):
        """Return the lines of the next reply, which must have this code."""
        got, lines, _ = self.reply(*signs)
        demand(got == code, "wanted %s: %s %s" % (code, got, lines[0]))
        return lines

    def ask(self, *lines):
        self.write(*lines)
        return self.reply()

    def prove(self, name, password, word="", mechanism="SCRAM-SHA-256-PLUS", together=False, ehlo=True):
        """Log in and say the last word. Return the capabilities: {} without EHLO."""
        plus = mechanism.endswith("-PLUS")
        scram = echo.Scram(name, password, self.tls.getpeercert(binary_form=True) if plus else None)
        auth = "AUTH %s %s" % (mechanism, encoded(scram()))
        self.write(*(["EHLO localhost", auth] if ehlo else [auth]))
        known = dict(line.partition(" ")[::2] for line in self.wants("250")[1:]) if ehlo else {}
        demand(not word or word in known["LAST"].split(), "the server does not know the word " + word)
        final, last = encoded(scram(base64.b64decode(self.wants("334")[0]))), encoded(word)
        self.write(*([final, last] if together else [final]))
        scram(base64.b64decode(self.wants("334")[0]))  # raises if the server is not proved
        if not together:
            self.write(last)
            self.flush()
        return known

    def log_in(self, *args, **kwargs):
        capabilities = self.prove(*args, **kwargs)
        self.wants("235")
        return capabilities

    def quit(self):
        demand(self.ask("QUIT")[1] == ["bye"], "QUIT was not answered")
        self.closed()

    def closed(self):
        """Expect the close_notify, and nothing before it."""
        with contextlib.suppress(EOFError):
            while not self.inbox:
                self.move()
        demand(not self.inbox, "the server said more")


class Stream:
    """A STREAM from its 152 to its reply. The command may have been sent."""

    def __init__(self, client, *command):
        self.client, self.sent, self.taken, self.pinged = client, 0, 0, False
        self.received, self.ended, self.closed = bytearray(), False, None
        client.write(*command)
        demand(client.wants("152", "152") == ["stream"], "STREAM was refused")

    def take(self):
        """Take a piece, a 153, or the reply."""
        code, lines, octets = self.client.reply("151", "153")
        if code == "153":
            demand(self.taken <= int(lines[0]) <= self.sent, "the backend can't have taken " + lines[0])
            self.taken, self.pinged = int(lines[0]), False
        elif code == "151":
            demand(not self.ended, "a piece behind 151 0")
            self.ended = not octets
            self.received += octets
        else:
            self.closed = code + " " + lines[0]

    def send(self, octets):
        for start in range(0, len(octets), MAX_PIECE):
            piece = octets[start : start + MAX_PIECE]
            self.wait_taken(self.sent + len(piece) - WINDOW)
            self.client.write("DATA %d" % len(piece), piece)
            self.sent += len(piece)

    def wait(self, done):
        while not done():
            demand(not self.closed, "the stream is over: %s" % self.closed)
            self.take()

    def wait_taken(self, count):
        """Ask again and again, because a 153 comes at once, whatever was taken."""
        while self.taken < count:
            if not self.pinged:
                self.client.write("PING")
                self.pinged = True
            self.take()

    def end(self, *lines):
        """End the client's direction, with what is pipelined behind. Return STREAM's reply."""
        self.client.write(*lines)
        self.wait(lambda: self.closed)
        return self.closed


def demand(held, complaint):
    if not held:
        raise ValueError(complaint)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def digest(octets):
    return hashlib.sha256(octets).hexdigest()


def stream(connect, login, mechanism="SCRAM-SHA-256-PLUS"):
    """Send and receive pieces, ping, end the stream, and go on."""
    client = connect()
    demand("STREAM" in client.log_in(*login, mechanism=mechanism), "there is no backend")
    octets = random.randbytes(700_001)
    s = Stream(client, "STREAM")
    s.send(octets)
    s.wait(lambda: len(s.received) == len(octets))
    s.wait_taken(len(octets))
    print(digest(octets), digest(s.received))
    closed = s.end("DATA 0")
    print("ended" if s.ended else "not ended", closed)
    print(client.ask("BODY 5 ECHO", b"hello")[2].decode())
    client.quit()


def abort(connect, login):
    """Reset the backend: inside a stream, behind DATA 0, and where none runs."""
    client = connect()
    client.log_in(*login)
    for end in (["ABORT"], ["DATA 0", "ABORT"]):
        s = Stream(client, "STREAM")
        s.send(b"hold")
        s.wait(lambda: len(s.received) == 4)
        print(s.end(*end))
    print(client.ask("ABORT", "PING", "BREAK", "LINE 9600,7E1", "WINDOW 80 24", "WHOAMI")[1])
    client.quit()


def pipelined(connect, login):
    """Send a piece, the end, and the next commands in one write."""
    client = connect()
    client.log_in(*login)
    s = Stream(client, "STREAM")
    s.sent = 5
    print(s.end("DATA 5", b"hello", "PING ACTIVE", "DATA 0", "WHOAMI", "ABORT", "STREAM"))
    print(client.wants("250"))
    s = Stream(client)
    s.send(b"again")
    print(s.end("DATA 0"))
    client.quit()


def broken(connect, login):
    """Go on after streams that are answered 554, before a 152 or after it."""
    client = connect()
    client.log_in(*login)
    s = Stream(client, "STREAM")
    s.send(b"break")
    s.wait(lambda: s.closed)
    print(s.closed.split()[:2])
    client.write("DATA 5", b"later", "DATA 0", "WHOAMI")
    print(client.wants("250"))
    code, lines, _ = client.ask("STREAM")
    print(code, lines[0].split()[0], client.ask("WHOAMI")[1])
    client.quit()


def words(connect, login, together):
    """Say each last word while the seat is taken, which the holder must not notice, and while it is free."""
    together = together == "together"

    def say(word):
        client = connect()
        client.prove(*login, word=word, together=together)
        code, lines, _ = client.reply()
        if code == "235":
            client.quit()
        else:
            client.closed()
        print(word, code, *(line.split()[0] for line in lines), client.notices)

    holder, patient = connect(), connect()
    holder.log_in(*login)
    say("stat")
    say("nowait")
    print(*holder.ask("NOOP")[1], holder.notices)
    # Only a client that waits is announced.
    patient.prove(*login)
    print(holder.event())
    holder.quit()
    patient.wants("235")
    print(patient.notices)
    patient.quit()
    say("stat")
    say("nowait")


def leave(connect, login):
    """Log in without EHLO, and quit."""
    client = connect()
    client.log_in(*login, ehlo=False)
    client.quit()
    print("closed")


def capabilities(connect, login):
    """Print what LAST and STREAM say in the EHLO."""
    client = connect()
    known = client.log_in(*login)
    print(known.get("LAST"), "STREAM" in known)
    client.quit()


def main(host, port, ca, name, exercise, *arguments):
    login = (name, sys.stdin.readline().rstrip("\n"))
    with contextlib.ExitStack() as stack:

        def connect():
            return stack.enter_context(contextlib.closing(Client(host, port, ca)))

        globals()[exercise](connect, login, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
