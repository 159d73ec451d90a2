# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every program that writes a file, on a disk that is full at each page of what it writes, and on a read-only one: never status 0 with
something lost, one message that says why, and no part of a file left behind."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from attestd_service import Service, registration
from sevsim_host import build_folder, find_qemu, skip_or_fail
from snp_world import GOOD, KeyService, amd  # noqa: F401
from test_wrong_files import DIGEST, dumped, world  # noqa: F401

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import sev_owner  # noqa: E402

WHY = ("No space left on device", "Read-only file system", "Disk quota exceeded", "database or disk is full", "readonly database")
GOLDEN = HERE.parent / "golden/sev-chain"
CHIP = bytes(range(64)).hex()
TIK, TEK = bytes(range(1, 17)), bytes(range(1, 17))

# Name: program and arguments ({name}: of the world or of here), and what else small_disk.py is to know. "cache": what cannot be kept does not matter. "again": once there is room,
# the same command succeeds on what the failed one left. "growing": a log, of which the beginning may stay: all files, or these names.
CASES = {
    "id-block build": (["verb-id-block", "build", DIGEST, "--id-key={key}", "--author-key={key}", "--id-block={out}/b", "--id-auth={out}/a"], {"again": True}),
    "id-block prepare": (["verb-id-block", "prepare", DIGEST, "--id-public={public}", "--id-block={out}/b", "--key-file={out}/k"], {"again": True}),
    "secret build": (["verb-secret", "build", "{out}/header", "{out}/payload", "--tik={world}/tik", "--tek={world}/tek", "--measurement=" + "A" * 64,
                      "--inject-secret=luks-key:{text}"], {"again": True}),
    "session": (["verb-session", "{chain}", "--certs={askark}", "--insecure-root={platform}/ark.cert", "--cache=", "--output={out}"], {"again": True}),
    "cert-chain split": (["verb-cert-chain", "split", "{chain}", "--output={out}"], {"again": True}),
    "validate": (["verb-validate", "-f", "{firmware}", "--api-major=1", "--api-minor=55", "--build-id=21", "--policy=3", "--tik={world}/tik",
                  "--tek={world}/tek", "-m", "{measured}", "--inject-secret=luks-key:{text}", "--secret-header={out}/header", "--secret-payload={out}/payload"],
                 {"again": True}),
    "attestd token": (["cvmspawn-attestd", "--state={out}/state", "--add-owner=alice", "--token-file={out}/token"], {"again": True}),
    "attestd answer": (["cvmspawn-attestd", "--state={out}/state", "--answer=POST /vm/a"], {"again": True, "stdin": json.dumps(registration())}),
    "collateral export": (["cvmspawn-collateral", "export", "{out}/bundle.json", "--cache={world}/kds", "--insecure-root={amd}/ark.der"], {"again": True}),
    "lock": (["cvmspawn", "--qemu={small_qemu}", "--kvm=no", "--tpm=no", "--coco=sev-snp", "--simulate", "--firmware={firmware}", "--linux={kernel}",
              "--lock={out}/lock", "--quiet"], {"again": True}),
    "console log": (["cvmspawn", "--qemu={small_qemu}", "--kvm=no", "--tpm=no", "--linux={kernel}", "--console-log={out}/log", "--quiet"], {"growing": True}),
    "events": (["cvmspawn", "--qemu={small_qemu}", "--kvm=no", "--tpm=no", "--linux={kernel}", "--status-fd=60", "--quiet"], {"growing": True, "fd": "events"}),
    "output of --run": (["cvmspawn", "--qemu={working_qemu}", "--kvm=no", "--tpm=no", "--linux={kernel}", "--initrd={cpio}", "--run=true", "--quiet"],
                        {"growing": True, "stdout": "out"}),
    "copy-out": (["cvmspawn", "--qemu={copying_qemu}", "--kvm=no", "--tpm=no", "--linux={kernel}", "--initrd={cpio}", "--run=true", "--quiet",
                  "--copy-out=/a:{out}/a"], {"again": True}),
    "measure": (["verb-measure", "--mode=snp", "--ovmf={firmware}", "--vcpus=1", "--vcpu-type=EPYC-v4", "--json=pretty"], {"growing": True, "stdout": "out"}),
    "measure vmsa": (["verb-measure", "--mode=snp", "--ovmf={firmware}", "--vcpus=2", "--vcpu-type=EPYC-v4", "--dump-vmsa"], {"again": True, "cwd": True}),
    "snpguest measurement": (["verb-snpguest", "generate", "measurement", "--ovmf={firmware}", "--vcpu-type=EPYC-v4", "--kernel={kernel}",
                              "--measurement-file={out}/m"], {"again": True}),
    "snpguest ovmf-hash": (["verb-snpguest", "generate", "ovmf-hash", "--ovmf={firmware}", "--hash-file={out}/h"], {"again": True}),
    "snpguest id-block": (["verb-snpguest", "generate", "id-block", "{key}", "{key}", "0x" + DIGEST, "--id-file={out}/b", "--auth-file={out}/a"],
                          {"again": True}),
    "snpguest key-digest": (["verb-snpguest", "generate", "key-digest", "{key}", "--key-digest-file={out}/d"], {"again": True}),
    "report": (["verb-report", "show", "{amd}/report.bin"], {"growing": True, "stdout": "out"}),
    "sevsim-identity": (["../sevsim/sevsim-identity", "--short", "{out}/platform"], {"again": True, "growing": True}),
    "sevsim record": (["cvmspawn", "sevsim", "--record={out}/record", "--platform={platform}", "--", "{programs}/cvmspawn", "--quiet", "--qemu={real_qemu}",
                       "--qemu-user={user}", "--coco=sev-snp", "--firmware={firmware}", "--linux={kernel}"], {"growing": ["host.jsonl"], "rooms": 5}),
    "sevsim record elsewhere": (["cvmspawn", "sevsim", "--record={out}", "--platform={platform}", "--", "{programs}/cvmspawn", "--quiet", "--qemu={real_qemu}",
                       "--qemu-user={user}", "--coco=sev-snp", "--firmware={firmware}", "--linux={kernel}"], {"growing": ["host.jsonl"], "rooms": 5}),
    "owner export": (["cvmspawn", "owner", "--service={service}", "--ca={attestd}/state/ca.pem", "--token-file={attestd}/state/token", "export", "a", "{out}/a.json"],
                     {"again": True}),
    "report --cache": (["verb-report", "verify", "{amd}/report.bin", "--kds={kds}", "--cache={out}", "--insecure-root={amd}/ark.der", *map(str, GOOD)], {"cache": True}),
    "cert-chain --cache": (["verb-cert-chain", "verify", "{exported}", "--insecure-root={golden}/ark.cert", "--kds={downloads}", "--downloads={downloads}",
                            "--cache={out}", "--online", "--cek-id=" + CHIP], {"cache": True}),
    "extract --oci": (["verb-extract", "--oci={container}", "--path=/f", "--output={out}"], {}),
    "guest secret": (["cvmspawn-guest", "secret", "get", "736869e5-84f0-4973-92ec-06879ce3da0b", "--secrets={secrets}", "--output={out}/secret"], {"again": True}),
}  # fmt: skip


SERVER_CACHES = "the service's own, by the functions of --cache; a write that fails is not its clients' business"
# Options that write, without a case, and why.
EXCUSED = {
    "--kds-cache": SERVER_CACHES, "--cek-store": SERVER_CACHES,
    "--session-dir": "test_attest_qemu.py", "--certs": "needs an SNP guest",
    "--store": "the database of --state, and a full disk under it: test_attestd_crash.py", "--libvirt-version": "standard output", "--format": "standard output",
    "--output": "of extract: by the functions of 'extract --oci'",
    "--efi-nvram-state": "copied whole or not at all (test_launcher_state.py); then QEMU writes it", "--tpm-state": "written by swtpm",
    "--store": "a file or a database of attestd, whose state is above", "--libvirt-version": "no file: a version",
    "--forward-journal": "written by systemd-journal-remote",
    "--listen": "of sevsim, which stays then: by the functions of --record and --platform",
    "--yaml": "the form of what --output has",
    "--detached": "bytes for a key elsewhere, by the same function as an ID block",
}  # fmt: skip


def test_table_is_whole():
    words = " ".join(" ".join(argv) for argv, _ in CASES.values())
    missing = []
    for program in sorted((build_folder() / "programs").glob("*")):
        if program.is_file() and os.access(program, os.X_OK) and program.name.startswith(("verb-", "cvmspawn-")):
            missing += [f"{program.name} {row[1]}" for row in dumped(program.name, "list")
                        if row[0] == "option" and row[3].startswith(("Write", "Keep", "Read or write")) and row[1] not in words and row[1] not in EXCUSED]  # fmt: skip
    assert not missing, missing


def stand_in(folder, name, scenario):
    text, program = folder / f"{name}.scenario", folder / name
    text.write_text(scenario)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -B {HERE / "fake_qemu.py"} {text} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def disk():
    """The program on its own small disk, which nobody else sees."""
    place = Path(tempfile.mkdtemp(prefix="small-disk-"))  # where other users reach it, too
    place.chmod(0o755)
    argv = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    process = subprocess.Popen([*argv, sys.executable, "-B", HERE / "small_disk.py", place], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})  # fmt: skip
    process.place = place
    yield process
    process.communicate()
    place.rmdir()


@pytest.fixture(scope="module")
def servers(world, tmp_path_factory):  # noqa: F811
    """AMD's two servers, and an attestation service with one registration."""
    folder = tmp_path_factory.mktemp("servers")
    kds, downloads = KeyService(world["amd"]), Downloads(("127.0.0.1", 0), Download)
    threading.Thread(target=downloads.serve_forever, daemon=True).start()
    s = Service(folder)
    assert s.post("/vm/a", registration(), *s.owner())[0] == 201
    (folder / "exported").write_bytes(b"".join((GOLDEN / f"{name}.cert").read_bytes() for name in ("pdh", "pek", "oca", "cek")))
    yield {"kds": kds.url, "downloads": f"http://127.0.0.1:{downloads.server_address[1]}", "service": s.url, "attestd": folder,
           "exported": folder / "exported", "golden": GOLDEN}  # fmt: skip
    s.stop()
    for server in kds, downloads:
        server.shutdown()
        server.server_close()


class Downloads(http.server.ThreadingHTTPServer):
    files = {f"/cek/id/{CHIP}": ["cek-signed"], "/ask_ark_milan.cert": ["ask", "ark"]}


class Download(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.server.files.get(self.path, [])
        body = b"".join((GOLDEN / f"{name}.cert").read_bytes() for name in names)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def names(world, servers, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("names")
    (folder / "secrets").mkdir()
    (folder / "secrets/736869e5-84f0-4973-92ec-06879ce3da0b").write_bytes(b"open sesame" * 2000)
    measured = sev_owner.measurement(TIK, hashlib.sha256(world["firmware"].read_bytes()).digest(), 3)
    return {
        **world, **servers, "measured": measured, "secrets": folder / "secrets", "programs": build_folder() / "programs", "real_qemu": find_qemu(),
        "user": subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip(),
        "small_qemu": stand_in(folder, "small", "vm.start(); vm.write('console', b'hello world\\r\\n' * 2000); vm.power_off()"),
        "copying_qemu": stand_in(folder, "copying", "vm.start(); vm.write('port-notify', b'COPY=1 50000\\n' + b'x' * 50000); vm.work(0)"),
        "working_qemu": stand_in(folder, "working", "vm.start(); vm.work(0, b'out\\n' * 5000)"),
    }  # fmt: skip


def wrong_cache(run, good):
    """A cache that cannot be filled does not matter, and has whole files only."""
    if run["status"] != 0 or run["out"] != good["out"]:
        return f"status {run['status']}: {run['out']}"
    bad = [name for name, file in run["files"].items() if good["files"].get(name) != file]
    return f"not what was downloaded: {bad}" if bad else None


def wrong(run, good, growing):
    """What is wrong with this run, or None."""
    if run.get("refused"):
        return None
    names = sorted(run["files"])
    if run["status"] == 0:
        return None if run["files"].keys() == good["files"].keys() and sizes(run) == sizes(good) else f"status 0, and only {sizes(run)}"
    if run["status"] < 0 or run["status"] not in (1, 4, 6, 125):
        return f"status {run['status']}"
    said = run["err"].splitlines()
    if not any(why in line for line in said for why in WHY):
        return "the message does not say why"
    if [name for name in names if name not in good["files"] and not name.endswith(("-wal", "-shm", "-journal"))]:
        return f"left behind: {names}"
    names = [name for name in names if growing is not True and Path(name).name not in (growing or [])]
    if [name for name in names if name in good["files"] and run["files"][name][0] != good["files"][name][0] and "state.db" not in name]:
        return f"a part of a file: {run['files']}"
    if [name for name in names if name in good["files"]] and isinstance(growing, list) and len(names) < len([n for n in good["files"] if Path(n).name not in growing]):
        return f"some files of a folder: {names}"
    return None


def sizes(run):
    return {name: size for name, (size, _) in run["files"].items() if "state.db" not in name}


@pytest.mark.parametrize("case", CASES)
def test_disk(case, disk, names):
    words, more = CASES[case]
    if "{real_qemu}" in words and not names["real_qemu"]:
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    argv = [str(build_folder() / "programs" / words[0]), *(w.format(**{**names, "out": disk.place / "out"}) for w in words[1:])]
    try:
        disk.stdin.write(json.dumps({"argv": argv, **more}) + "\n")
        disk.stdin.flush()
    except BrokenPipeError:
        pass
    line = disk.stdout.readline()
    if not line:
        pytest.skip("no mount namespace with its own disk here: " + disk.stderr.read().strip())
    answer = json.loads(line)
    good, runs = answer["good"], answer["runs"]
    assert good["status"] == 0 and good["files"], good
    assert answer["taken"] > 0 and len(runs) > 1, answer
    if more.get("cache"):
        found = [(run["room"], problem, run["err"]) for run in runs if (problem := wrong_cache(run, good))]
        assert not found, found
        assert any(len(run["files"]) < len(good["files"]) for run in runs), "no room was too small"
        return
    found = [(run["room"], problem, run["err"]) for run in runs if (problem := wrong(run, good, more.get("growing")))]
    found += [(run["room"], "not usable once there is room", run["again"]["err"]) for run in runs
              if "again" in run and (run["again"]["status"] != 0 and run.get("status") != 0)]  # fmt: skip
    assert not found, found
    assert any(run.get("status") not in (0, None) for run in runs), "no room was too small"
