#!/usr/bin/env python3
"""A program that knows the host and the port of a voltmeter, and nothing of a gate.

    measure.py [-n TIMES] [-r RANGE] HOST:PORT
"""
import argparse
import socket
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=1, help="how often to measure")
    parser.add_argument("-r", default="10", help="range in volts")
    parser.add_argument("address")
    args = parser.parse_args()
    host, _, port = args.address.rpartition(":")
    with socket.create_connection((host, int(port))) as meter, meter.makefile("rw", newline="\n") as lines:

        def ask(command):
            print(command, file=lines, flush=True)
            return lines.readline().strip()

        print(ask("*IDN?"))
        print("VOLT:RANGE " + args.r, file=lines, flush=True)
        for i in range(args.n):
            if i > 0:
                time.sleep(1)
            value, at = ask("MEAS:VOLT?"), ask("VOLT:RANGE?")
            if at != args.r:
                raise SystemExit(f"somebody else has set the range to {at} V")
            print(value)


if __name__ == "__main__":
    main()
