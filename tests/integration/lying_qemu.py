#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU between launcher and QEMU that changes what they say to each other: `lying_qemu.py QEMU WHAT ARGUMENTS...`. WHAT names a member of
an answer or of a command; one bit of its value is turned over: base64 and numbers alike."""

import base64
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading


def changed(value):
    if isinstance(value, int):
        return value ^ 1
    data = bytearray(base64.b64decode(value))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


def relay(source, target, what, member):
    for line in source.makefile("rb"):
        message = json.loads(line)
        inner = message.get(member)
        if isinstance(inner, dict) and what in inner and ("enabled" in inner or what in ("data", "packet-header", "secret")):
            inner[what] = changed(inner[what])
        target.sendall(json.dumps(message).encode() + b"\r\n")
    target.shutdown(socket.SHUT_WR)


def main():
    qemu, what, *arguments = sys.argv[1:]
    (number,) = {int(m[1]) for a in arguments if (m := re.fullmatch(r"socket,id=qmp,fd=(\d+)(,server=off)?", a))}
    ours = socket.socket(fileno=os.dup(number))
    ours.setblocking(True)
    near, far = socket.socketpair()
    os.dup2(far.fileno(), number)
    far.close()
    prctl = ctypes.CDLL(None).prctl
    process = subprocess.Popen([qemu, *arguments], close_fds=False, preexec_fn=lambda: prctl(1, signal.SIGKILL, 0, 0, 0))
    os.close(number)
    for pair in ((ours, near, "arguments"), (near, ours, "return")):
        threading.Thread(target=relay, args=(*pair[:2], what, pair[2]), daemon=True).start()
    status = process.wait()
    sys.exit(status if status >= 0 else 1)


if __name__ == "__main__":
    main()
