# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of the attestation service in systemd's journal: fields by the native protocol, at a socket in the journal's place, in a mount namespace of the
test's; elsewhere plain lines."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attestd_service import registration
from sevsim_host import build_folder, skip_or_fail

HERE = Path(__file__).resolve()
SOURCE = HERE.parents[2]
IDS = dict(re.findall(r'#define (MESSAGE_\w+) +"([0-9a-f]{32})"', (SOURCE / "programs/attestd/attestd-journal.h").read_text()))

# In the namespace: argv is PROGRAM FOLDER WHERE, with WHERE the journal or a file. Prints what arrived, and what standard error got.
INSIDE = """
import ctypes, http.client, json, os, signal, socket, sqlite3, ssl, subprocess, sys, time
program, folder, where, body = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).mount(b"none", b"/run", b"tmpfs", 0, None) < 0:
    sys.exit("a tmpfs cannot be mounted")
os.makedirs("/run/systemd/journal")
def listen():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind("/run/systemd/journal/socket")
    s.settimeout(20)
    return s
journal = listen()
lines = open(folder + "/stderr", "wb")
st = os.fstat(lines.fileno())
env = {**os.environ, "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}" if where == "journal" else f"{st.st_dev}:{st.st_ino + 1}"}
p = subprocess.Popen([program, "--state=" + folder + "/state", "--plain", "--listen=127.0.0.1:0", "--insecure-snp-root=" + folder + "/root.pem"] if where == "root" else
                     [program, "--dev", "--state=" + folder + "/state", "--listen=127.0.0.1:0"], stdout=subprocess.PIPE, stderr=lines, env=env, text=True)
url = json.loads(p.stdout.readline())["url"]
host, port = url.split("/")[2].rsplit(":", 1)
token = open(folder + "/state/token").read().strip()
def ask(method, path, body=None):
    c = http.client.HTTPSConnection(host, int(port), context=ssl.create_default_context(cafile=folder + "/state/ca.pem"), timeout=30)
    c.request(method, path, body, {"Authorization": "Bearer " + token})
    return c.getresponse().status
assert ask("POST", "/vm/web-1", body) == 201
p.send_signal(signal.SIGHUP)
time.sleep(0.5)
if where == "journal":  # restarted: what comes after goes to the new one
    journal.close()
    os.unlink("/run/systemd/journal/socket")
    journal = listen()
db = sqlite3.connect(folder + "/state/state.db")
db.execute("UPDATE vm SET document = 'broken'")
db.commit()
assert ask("POST", "/vm/web-1/launch", "{}") == 500
assert ask("DELETE", "/vm/web-1/launches/" + "0" * 32) == 500
p.terminate()
p.wait(30)
journal.settimeout(0.2)
got = []
try:
    while True:
        got.append(journal.recv(65536).decode())
except TimeoutError:
    pass
print(json.dumps({"got": got, "stderr": open(folder + "/stderr").read(), "token": token}))
"""


def inside(folder, where):
    if not shutil.which("unshare"):
        skip_or_fail("unshare is not installed")
    argv = ["unshare", "-m" if os.geteuid() == 0 else "-rm", sys.executable, "-B", "-c", INSIDE, build_folder() / "programs/cvmspawn-attestd", folder, where,
            json.dumps(registration())]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if "a tmpfs cannot be mounted" in done.stderr or "unshare failed" in done.stderr:
        skip_or_fail("no mount namespace can be made here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fields(datagram):
    assert datagram.endswith("\n")
    return dict(line.split("=", 1) for line in datagram.splitlines())


def test_fields(tmp_path):
    seen = inside(tmp_path, "journal")
    failed, other, ends = (fields(d) for d in seen["got"])
    assert failed == {"MESSAGE": failed["MESSAGE"], "PRIORITY": "3", "MESSAGE_ID": IDS["MESSAGE_FAILED"], "SYSLOG_IDENTIFIER": "cvmspawn-attestd",
                      "CVMSPAWN_METHOD": "POST", "CVMSPAWN_PATH": "/vm/web-1/launch", "CVMSPAWN_REGISTRATION": "web-1", "ERRNO": failed["ERRNO"]}
    assert failed["MESSAGE"].startswith("POST /vm/web-1/launch: ") and int(failed["ERRNO"]) > 0
    assert (other["CVMSPAWN_REGISTRATION"], other["CVMSPAWN_LAUNCH"]) == ("web-1", "0" * 32)
    assert (ends["MESSAGE_ID"], ends["PRIORITY"]) == (IDS["MESSAGE_ENDS"], "5")
    assert "POST /vm" not in seen["stderr"]  # not twice
    for text in (*seen["got"], seen["stderr"]):
        assert "sesame" not in text and seen["token"] not in text


@pytest.mark.parametrize("where", ["file"])
def test_plain_lines_elsewhere(tmp_path, where):
    """JOURNAL_STREAM of another stream: standard error was redirected."""
    seen = inside(tmp_path, where)
    assert seen["got"] == [] and "cvmspawn-attestd: POST /vm/web-1/launch: " in seen["stderr"] and "MESSAGE_ID" not in seen["stderr"]


def test_the_manual_lists_them():
    text = (SOURCE / "man/cvmspawn-attestd.8.scd").read_text().split("\n# JOURNAL\n")[1].split("\n# ")[0]
    assert set(re.findall(r"[0-9a-f]{32}", text)) == set(IDS.values()) and len(set(IDS.values())) == len(IDS)
