# SPDX-License-Identifier: LGPL-2.1-or-later
"""A varlink client that can also behave badly, and a guest's control socket."""

import json
import os
import socket

INSTANCE = "io.systemd.MachineInstance"
SECONDS = 60


class Refused(Exception):
    """An error that the service answered with: its name and parameters."""


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))  # waits for a place in the queue
        self.socket.settimeout(SECONDS)
        self.left = b""

    def close(self):
        self.socket.close()

    def send(self, method, more=False, **parameters):
        name = method if "." in method else f"{INSTANCE}.{method}"
        self.socket.sendall(json.dumps({"method": name, "parameters": parameters, "more": more}).encode() + b"\0")

    def send_file(self, method, path, flags=os.O_RDWR, **parameters):
        """The same with a descriptor of this file."""
        fd = os.open(path, flags)
        text = json.dumps({"method": f"{INSTANCE}.{method}", "parameters": {"fileDescriptorIndex": 0, **parameters}}).encode() + b"\0"
        socket.send_fds(self.socket, [text], [fd])
        os.close(fd)

    def receive(self):
        """The next answer's parameters; None: the service has closed the connection."""
        while b"\0" not in self.left:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.left += data
        text, self.left = self.left.split(b"\0", 1)
        answer = json.loads(text)
        if "error" in answer:
            raise Refused(answer["error"], answer["parameters"])
        return answer["parameters"]

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.receive()

    def call_with_file(self, method, path, flags=os.O_RDWR, **parameters):
        self.send_file(method, path, flags, **parameters)
        return self.receive()

    def refusal(self, method, path=None, flags=os.O_RDWR, **parameters):
        """The error's name, without the interface where it is the machine's."""
        try:
            answer = self.call_with_file(method, path, flags, **parameters) if path else self.call(method, **parameters)
        except Refused as error:
            return error.args[0].removeprefix(INSTANCE + ".")
        raise AssertionError(f"{method} was not refused: {answer}")

    def subscribe(self, *names):
        self.send("SubscribeEvents", more=True, **({"filter": list(names)} if names else {}))
        assert self.receive() == {"event": "READY"}

    def event(self):
        answer = self.receive()
        return answer and answer["event"]


def control_of(run, folder=None):
    """The path of its socket, once the guest answers there: not that of a launcher that was killed."""
    path = (folder or run.control) / "control"

    def answers():
        try:
            client = Client(path)
        except OSError:
            return False
        with client.socket:
            return client.call("Describe")["running"]

    run.wait_for(answers, SECONDS, "the control socket does not answer")
    return path
