#!/usr/bin/env python3
"""A simulated voltmeter that speaks SCPI, as many instruments do on TCP port 5025.

    scpi.py 127.0.0.1:5025
    scpi.py unix:/run/rig/meter.sock

Like many real ones it takes any connection, and two at once share one input: a range that one of them has
set is the other's range too. That is what a gate is for.
"""
import os
import socketserver
import sys

RANGES = ("0.1", "1", "10", "100")


class Meter:
    def __init__(self):
        self.range, self.errors = "10", []

    def answer(self, command):
        verb, _, argument = command.strip().partition(" ")
        verb = verb.upper()
        if verb == "*IDN?":
            return "EXAMPLE,VOLTMETER,0001,1.0"
        if verb == "*RST":
            self.__init__()
        elif verb == "VOLT:RANGE" and argument in RANGES:
            self.range = argument
        elif verb == "VOLT:RANGE?":
            return self.range
        elif verb == "MEAS:VOLT?":
            return "%+.6E" % (0.123456 * float(self.range))
        elif verb == "SYST:ERR?":
            return self.errors.pop(0) if self.errors else '0,"No error"'
        elif verb:
            self.errors.append('-113,"Undefined header"')
        return None


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            reply = self.server.meter.answer(line.decode("ascii", "replace"))
            if reply is not None:
                self.wfile.write(reply.encode() + b"\n")


class OverTCP(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class OverUnix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def listen(address):
    if address.startswith("unix:"):
        path = address[len("unix:"):]
        if os.path.exists(path):
            os.remove(path)
        os.umask(0o077)  # nobody else may connect, from the first moment on
        return OverUnix(path, Connection)
    host, _, port = address.rpartition(":")
    return OverTCP((host, int(port)), Connection)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scpi.py HOST:PORT | unix:PATH")
    with listen(sys.argv[1]) as server:
        server.meter = Meter()
        print("voltmeter at", sys.argv[1], flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
