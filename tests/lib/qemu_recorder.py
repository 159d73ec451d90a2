# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands in for QEMU of any launcher: `qemu_recorder.py OUTPUT ARGUMENTS` writes what it was told, one thing a line (an argument with its value,
a section of a file of -readconfig, a QMP command), answers every QMP command with success, and powers off when the guest is to run."""

import configparser
import json
import re
import socket
import sys
import time


def sections(path):
    """'[chardev "qmp"] backend=socket,fd=3' for each section of QEMU's configuration file."""
    parser = configparser.ConfigParser(delimiters="=", strict=False, interpolation=None)
    parser.optionxform = str
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    for name in parser.sections():
        yield f"[{name}] " + ",".join(f"{key}={value.strip().strip(chr(34))}" for key, value in parser[name].items())


def told(arguments):
    words = list(arguments)
    while words:
        word = words.pop(0)
        value = words.pop(0) if words and word.startswith("-") and not re.match(r"-[a-z]", words[0]) else None
        if word == "-readconfig":
            yield from sections(value)
        else:
            yield word if value is None else f"{word} {value}"


def monitor(lines):
    """The descriptor of the QMP socket."""
    for line in lines:
        if (line.startswith('[chardev "qmp"]') or "id=qmp" in line) and (match := re.search(r"\bfd=(\d+)", line)):
            return socket.socket(fileno=int(match[1]))
    return None


def helpers(lines):
    """Connections to the programs that help: they end with QEMU."""
    found = []
    for line in lines:
        if match := re.search(r'backend=socket,path=([^,]*)|"path": "([^"]*)"', line):
            found.append(socket.socket(socket.AF_UNIX))
            found[-1].connect(match[1] or match[2])
    return found


def answer(command):
    if command["execute"] == "query-status":
        return {"running": True, "status": "running"}
    if command["execute"] == "query-version":
        return {"qemu": {"major": 11, "minor": 1, "micro": 3}, "package": ""}
    if command["execute"] == "query-named-block-nodes":
        return [{"node-name": "disk-base", "image": {"virtual-size": 1 << 20}}]
    if command["execute"] == "query-jobs":
        return [{"id": "make-overlay", "type": "create", "status": "concluded", "current-progress": 1, "total-progress": 1}]
    return [] if command["execute"] == "query-qmp-schema" else {}


def next_line(buffer):
    try:
        return buffer.readline()
    except TimeoutError:
        return ""


def serve(connection, output):
    def tell(message):
        connection.sendall(json.dumps(message).encode() + b"\r\n")

    tell({"QMP": {"version": answer({"execute": "query-version"}), "capabilities": ["oob"]}})
    held, creates = [], False
    buffer = connection.makefile("r")
    while line := next_line(buffer):
        command = json.loads(line)
        held += helpers([line] if "chardev-add" in line else [])
        name = command.get("execute") or command["exec-oob"]
        print("qmp", name, json.dumps(command.get("arguments", {}), sort_keys=True), file=output, flush=True)
        tell({"return": answer({"execute": name}), "id": command.get("id")})
        now = {"timestamp": {"seconds": int(time.time()), "microseconds": 0}}
        if name == "blockdev-create":
            creates = True
            for status in "created", "running", "waiting", "pending", "concluded":
                tell({"event": "JOB_STATUS_CHANGE", "data": {"id": command["arguments"]["job-id"], "status": status}, **now})
        if name == "cont":
            tell({"event": "RESUME", "data": {}, **now})
            # More comes where the launcher does not wait for a job.
            connection.settimeout(2 if creates else 0.3)
    tell({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}, "timestamp": {"seconds": int(time.time()), "microseconds": 0}})


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as output:
        lines = list(told(sys.argv[2:]))
        print(*lines, sep="\n", file=output, flush=True)
        held = helpers(lines)
        if (connection := monitor(lines)) is not None:
            serve(connection, output)
        del held


if __name__ == "__main__":
    main()
