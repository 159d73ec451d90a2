# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real PostgreSQL server of a test's own: on a Unix socket, and over TLS with a password on the loopback. As root it runs as another user."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from sevsim_host import skip_or_fail

PASSWORD = "correct horse"


def find_programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found and not shutil.which("postgres"):
        skip_or_fail("PostgreSQL is not installed")
    return found[-1].parent if found else Path(shutil.which("postgres")).resolve().parent


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Postgres:
    """Its folder is not below the test's, which only the test's user can reach."""

    def __init__(self, *settings):
        self.bin = find_programs()
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="cvmspawn-pg-", dir="/tmp"))
        self.folder.chmod(0o755)  # for a service that gave up the right to look everywhere
        self.data, self.process = self.folder / "data", None
        self.user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        try:
            self.create()
            self.start()
        except BaseException:
            self.remove()
            raise

    def run(self, *argv, **more):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, cwd=self.folder, check=False, timeout=180,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **self.user, **more)  # fmt: skip
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def create(self):
        word = self.folder / "word"
        word.write_text(PASSWORD + "\n")
        word.chmod(0o644)
        self.run(self.bin / "initdb", "-D", self.data, "-U", "attestd", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust",
                 "--auth-host=scram-sha-256", f"--pwfile={word}", "--no-sync", "--no-instructions")  # fmt: skip
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                 "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.data / "server.key", "-out", self.data / "server.crt")  # fmt: skip
        self.ca = self.folder / "ca.pem"
        shutil.copyfile(self.data / "server.crt", self.ca)

    def argv(self):
        options = (f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1", "ssl=on", "shared_buffers=16MB", "max_connections=40",
                   "logging_collector=off", "deadlock_timeout=200ms", *self.settings)  # fmt: skip
        return [self.bin / "postgres", "-D", self.data, "-p", str(self.port), *(w for o in options for w in ("-c", o))]

    def start(self, seconds=90):
        """Also after kill(): what the last one left behind ends by itself."""
        end = time.monotonic() + seconds
        while True:
            if self.process is None or self.process.poll() is not None:
                with open(self.folder / "log", "ab") as log:
                    self.process = subprocess.Popen(self.argv(), stdout=log, stderr=log, cwd=self.folder, **self.user)
            ready = subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)], check=False, timeout=60)
            if ready.returncode == 0:
                return
            assert time.monotonic() < end, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # "fast" shutdown
            self.process.wait(120)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres"):
        return f"postgresql:///{database}?host={self.folder}&port={self.port}&user=attestd"

    def tls_url(self, passfile, database="postgres"):
        """With the server's certificate verified, and the password in a file."""
        passfile.write_text(f"127.0.0.1:{self.port}:*:attestd:{PASSWORD}\n")
        passfile.chmod(0o600)
        return f"postgresql://attestd@127.0.0.1:{self.port}/{database}?sslmode=verify-full&sslrootcert={self.ca}&passfile={passfile}"

    def sql(self, text, database="postgres"):
        """Rows of text."""
        out = self.run(self.bin / "psql", "-X", "-q", "-A", "-t", "-F", "|", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port, "-U", "attestd",
                       "-d", database, "-c", text)  # fmt: skip
        return [tuple(line.split("|")) for line in out.splitlines()]

    def new_database(self, name):
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)
