#!/usr/bin/env python3
"""A simulated board with a console on a serial line. It speaks on standard input and output:

    socat pty,link=ttyRIG,raw,echo=0 exec:'python3 examples/console/board.py'
"""
import sys
import time


def say(text):
    sys.stdout.write(text.replace("\n", "\r\n"))
    sys.stdout.flush()


def boot():
    say("\nboot loader 1.0\nmemory 64 MiB\nready\n")


def main():
    started = time.monotonic()
    boot()
    line = ""
    while key := sys.stdin.read(1):
        if key not in "\r\n":
            line += key
            say(key)  # echo
            continue
        say("\n")
        command, line = line.strip(), ""
        if command == "version":
            say("boot loader 1.0\n")
        elif command == "uptime":
            say(f"{int(time.monotonic() - started)} s\n")
        elif command == "reset":
            boot()
        elif command:
            say(f"{command}: unknown command\n")
        say("> ")


if __name__ == "__main__":
    main()
