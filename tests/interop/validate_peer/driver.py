# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs virt-qemu-sev-validate for many command lines: its modules are loaded once, then each run is a fork of this process in
which the unchanged program is __main__. Requests and answers are lines of JSON."""

import json
import os
import sys
import tempfile


def run(code, name, argv, environment):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(environment)
            sys.argv = [name, *(os.fsdecode(bytes.fromhex(a)) for a in argv)]
            status = 1
            try:
                exec(code, {"__name__": "__main__", "__file__": name})
                status = 0
            except SystemExit as e:
                status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
            except BaseException:
                sys.excepthook(*sys.exc_info())
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, state = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return {"status": os.waitstatus_to_exitcode(state), "out": out.read().hex(), "err": err.read().hex()}


def main():
    path = sys.argv[1]
    with open(path, "rb") as f:
        code = compile(f.read(), path, "exec")
    # what the program imports, so that the forks have it
    import argparse, hmac, logging, libvirt, lxml.etree, uuid  # noqa: F401,E401
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor()
    for line in sys.stdin:
        request = json.loads(line)
        answer = run(code, os.path.basename(path), request["argv"], request.get("env", {}))
        sys.__stdout__.write(json.dumps(answer) + "\n")
        sys.__stdout__.flush()


main()
