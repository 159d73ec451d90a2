#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands in for QEMU where a test wants a machine that behaves in a certain way, at once: `fake_qemu.py SCENARIO ARGUMENTS` runs
the Python text in the file SCENARIO with the names below. It speaks just enough QMP for the launcher's set-up."""

import json
import os
import re
import signal
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Machine:
    def __init__(self, arguments):
        self.arguments = arguments
        self.fds = {}
        for argument in arguments:
            if match := re.fullmatch(r"socket,id=([\w-]+),fd=(\d+),server=off", argument):
                self.fds[match[1]] = int(match[2])
        self.monitor = socket.socket(fileno=self.fds["qmp"])
        self.lines = self.monitor.makefile("r")
        self.seen = []

    def tell(self, message):
        self.monitor.sendall(json.dumps(message).encode() + b"\r\n")

    def greet(self, major=10):
        self.version = {"qemu": {"major": major, "minor": 0, "micro": 2}, "package": ""}
        self.tell({"QMP": {"version": self.version, "capabilities": ["oob"]}})

    def event(self, name, **data):
        self.tell({"event": name, "data": data, "timestamp": {"seconds": int(time.time()), "microseconds": 0}})

    def answer_until(self, wanted, more=b""):
        """Answers every command with success up to `wanted`, which is answered too, and more in the same packet."""
        while True:
            line = self.lines.readline()
            if not line:
                sys.exit(0)
            command = json.loads(line)
            name = command["execute"]
            self.seen.append(name)
            value = self.version if name == "query-version" else {}
            if name == "query-status":
                value = {"running": True, "status": "running"}
            answer = json.dumps({"return": value, "id": command.get("id")}).encode() + b"\r\n"
            self.monitor.sendall(answer + (more if name == wanted else b""))
            if name == wanted:
                return

    def start(self):
        """The whole set-up: afterwards the guest runs."""
        self.greet()
        self.answer_until("cont")
        self.event("RESUME")

    def write(self, channel, data):
        """To "console", "port-notify", "port-stdout" (on a terminal "port-terminal"), "port-stderr"; waits for a slow reader, as a guest does."""
        if channel == "console":
            while data:
                data = data[os.write(1, data):]
            return
        channel = socket.socket(fileno=os.dup(self.fds[channel]))
        channel.setblocking(True)
        channel.sendall(data)
        channel.close()

    def power_off(self, reason="guest-shutdown"):
        self.event("SHUTDOWN", guest=reason.startswith("guest"), reason=reason)
        sys.exit(0)

    def internal_error(self):
        """KVM gave up: the guest stands still, QEMU waits for what its launcher does."""
        self.event("STOP")
        while True:
            line = self.lines.readline()
            command = json.loads(line or "{}")
            status = {"running": False, "status": "internal-error"}
            self.tell({"return": status if command.get("execute") == "query-status" else {}, "id": command.get("id")})
            if command.get("execute") == "quit":
                self.power_off("host-qmp-quit")

    def serve(self, deaf=(), status="running"):
        """A guest that does what its monitor is told, but for the commands that it is deaf to."""
        while line := self.lines.readline():
            command = json.loads(line)
            name = command["execute"]
            self.seen.append(name)
            if name in deaf:
                continue
            if name in ("stop", "cont"):
                status = "paused" if name == "stop" else "running"
            value = {"running": status == "running", "status": status} if name == "query-status" else {}
            self.tell({"return": value, "id": command.get("id")})
            if name in ("stop", "cont"):
                self.event({"stop": "STOP", "cont": "RESUME"}[name])
            elif name == "system_reset":
                self.event("RESET", guest=False, reason="host-qmp-system-reset")
            elif name == "system_powerdown":
                self.event("POWERDOWN")
                self.power_off()
            elif name == "quit":
                self.power_off("host-qmp-quit")

    def work(self, status=0, out=b"", err=b""):
        """What the unit of --run= does."""
        self.write("port-notify", b"READY=1\n")
        self.write("port-stdout", out)
        self.write("port-stderr", err)
        self.write("port-notify", b"EXIT_STATUS=%d\n" % status)
        self.power_off()


def main():
    with open(sys.argv[1]) as scenario:
        text = scenario.read()
    arguments = sys.argv[2:]
    names = {"arguments": arguments, "os": os, "signal": signal, "sys": sys, "time": time}
    if any("id=qmp" in argument for argument in arguments):
        names["vm"] = Machine(arguments)
    exec(compile(text, sys.argv[1], "exec"), names)


if __name__ == "__main__":
    main()
