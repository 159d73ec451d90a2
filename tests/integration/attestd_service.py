# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attestation service as a process of its own on the loopback, and curl as its client."""

import json
import os
import signal
import subprocess

from sevsim_host import build_folder


class Service:
    """cvmspawn-attestd --dev; state stays over kill() and start()."""

    def __init__(self, folder, *options, env=None):
        self.folder, self.options = folder, options
        self.env = {**os.environ, **(env or {})}
        self.start()

    def start(self):
        argv = [build_folder() / "cli/cvmspawn-attestd", "--dev", f"--state={self.folder}/state", "--listen=127.0.0.1:0", *self.options]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.token = (self.folder / "state/token").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        self.log.close()

    def curl(self, *words, stdin=None, may_break=False):
        """(status, body); (0, None) where the service ended the connection while curl was sending, if that may be"""
        argv = ["curl", "-sS", "--max-time", "30", "--path-as-is", "--cacert", self.folder / "state/ca.pem", "-w", "\n%{http_code}", *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
        if may_break and done.returncode in (55, 56):
            return 0, None
        assert done.returncode == 0, done
        body, _, status = done.stdout.decode().rpartition("\n")
        return int(status), json.loads(body) if body else None

    def post(self, path, body, *words, may_break=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.curl("-X", "POST", "-H", "Content-Type: application/json", "--data-binary", "@-", *words, self.url + path, stdin=data,
                         may_break=may_break)

    def owner(self):
        """curl's words; the token goes by a file, not by argv."""
        header = self.folder / "header"
        header.write_text(f"Authorization: Bearer {self.token}\n")
        return "-H", f"@{header}"

    def text(self):
        return (self.folder / "log").read_text()
