# SPDX-License-Identifier: LGPL-2.1-or-later
"""What systemd-vmspawn 262 of Debian sid and this project tell QEMU, option by option: arguments, sections of the configuration file and QMP commands, as a stand-in
for QEMU gets them. vmspawn-arguments.txt has a block for each option: what it changes in both beside the base launch, and why the two differ.

UPDATE_GOLDEN=1 writes the changes into that file again; the options and the reasons in it are written by hand."""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", SOURCE / "b"))
TABLE = pathlib.Path(__file__).with_name("vmspawn-arguments.txt")
sys.path.insert(0, str(SOURCE / "tests/lib"))
sys.path.insert(0, str(SOURCE / "tests/golden/launcher"))
import qemu_recorder  # noqa: E402
import vmspawn_peer  # noqa: E402
import world  # noqa: E402

pytestmark = pytest.mark.full

BASE = ["--image=root.img", "--linux=kernel", "--initrd=initrd", "--kvm=no", "--firmware=none", "--tpm=no", "--vsock=no", "--pass-ssh-key=no", "--console=headless",
        "--register=no", "--keep-unit", "--notify-ready=no", "root=/dev/vda2"]  # fmt: skip
# systemd-vmspawn asks for the unit that it runs in; tap interfaces and processes that are left end with the namespaces.
APART = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "timeout", "--kill-after=5", "60", "sh", "-ec",
         'mount --bind "$0" /proc/$$/cgroup; exec "$@"']  # fmt: skip
# What differs from one launch to the next.
PLAIN = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "RANDOM-UUID"), (r"(\.#|run/|sock-)[0-9a-z.-]*[0-9a-f]{12,16}", r"\1RANDOM"),
    (r'(\[(?:chardev|netdev) .*fd)=\d+', r"\1=N"), (r'("(?:tap_fd|fd)": ")\d+', r"\1N"), (r"(/vmspawn-\w+-)\w{6}\b", r"\1RANDOM"), (r'("guest-cid": ?)\d{5,}', r"\1CID"), (r"/dev/pts/\d+", "/dev/pts/N"),
    # Where a spare port is follows from how many devices are before it.
    (r"(driver=pcie-root-port).*", r"\1"),
]  # fmt: skip


class Row:
    """A block: '= OPTIONS' ('~ OPTIONS': not launched), '! option of the base that goes away', 'why: TEXT', and lines of 'vmspawn' or 'cvmspawn' with + or -."""

    def __init__(self, text):
        lines = text.strip().splitlines()
        self.head = [line for line in lines if not re.match(r"c?vmspawn [-+] ", line)]
        self.lines = [line for line in lines if line not in self.head]
        self.options = [word for line in self.head if line[:2] in ("= ", "~ ") for word in line[2:].split(" | ")]
        self.launched = self.head[0].startswith("= ")
        self.without = [line[2:] for line in self.head if line.startswith("! ")]
        self.why = " ".join(line[5:] for line in self.head if line.startswith("why: "))

    def text(self, lines):
        return "\n".join([*self.head, *lines])


def table():
    comment, *blocks = TABLE.read_text().split("\n\n")
    return comment, [Row(block) for block in blocks]


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("systemd-vmspawn is run in mount and network namespaces, which need root")
    try:
        with vmspawn_peer.started(tmp_path_factory.mktemp("peer")) as found:
            version = found.run("--version").stdout.splitlines()[0]
            if "(262.1-" not in version:
                pytest.skip(f"the table is of systemd 262.1, and this is {version}: change the version here, set UPDATE_GOLDEN=1, and look at the changes")
            yield found
    except vmspawn_peer.Missing as e:
        if os.environ.get("MUST_WORK") == "1":
            pytest.fail(str(e))
        pytest.skip(str(e))


class Pair:
    """Both programs in one folder each, with the same files."""

    def __init__(self, peer, folder):
        self.peer, self.folder = peer, folder
        self.unit = folder / "unit"
        self.unit.write_text("0::/system.slice/test.service\n")
        done = subprocess.run([SOURCE / "tools/artifacts"], capture_output=True, text=True, check=True)
        self.virtiofsd = pathlib.Path(dict(line.split("=", 1) for line in done.stdout.splitlines())["VIRTIOFSD"])

    def place(self, name):
        place = self.folder / name
        place.mkdir()
        world.build(place)
        (place / "caps.json").write_text(world.host(virtiofsd=str(self.virtiofsd), vsock=True))
        (place / "kernel").write_bytes(vmspawn_peer.pe_without_sections() if name.startswith("v") else world.bzimage())
        (place / "run").mkdir()
        (place / "bin").mkdir()
        linker = shlex.join(map(str, self.peer.command[-4:-1]))
        activate = self.peer.command[-1].with_name("systemd-socket-activate")  # older ones do not say that they are ready
        for name, command in ("qemu", f"{sys.executable} {SOURCE}/tests/lib/qemu_recorder.py {place}/told"), ("systemd-socket-activate", f"{linker} {activate}"):
            (place / "bin" / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (place / "bin" / name).chmod(0o755)
        return place

    def told(self, name, command, options):
        place = self.place(name)
        options = [option.replace("@FOLDER@", str(place)) for option in options]
        environment = {
            **self.peer.env, "PATH": f"{place}/bin:{self.virtiofsd.parent}:/usr/sbin:/usr/bin:/bin", "XDG_RUNTIME_DIR": f"{place}/run", "RUNTIME_DIRECTORY": f"{place}/run", "TMPDIR": f"{place}/run",
            "XDG_DATA_DIRS": f"{place}/firmware", "HOME": str(place), "SYSTEMD_VMSPAWN_NETWORK_MAC": "32:6f:ba:0b:20:a6", "LC_ALL": "C.UTF-8",
            "DBUS_SESSION_BUS_ADDRESS": self.peer.env["DBUS_SYSTEM_BUS_ADDRESS"],
            **({"LD_PRELOAD": str(BUILD / "tests/lib/vhost-vsock.so")} if "--vsock=yes" in options else {}),
        }  # fmt: skip
        master, terminal = os.openpty() if any(word in ("--console=interactive", "--console=native") for word in options) else (-1, subprocess.DEVNULL)
        done = subprocess.run([*APART, self.unit, *command, *options], cwd=place, env=environment, stdin=terminal, capture_output=True, text=True,
                              check=False, timeout=90)  # fmt: skip
        if master >= 0:
            os.close(master)
            os.close(terminal)
        if done.returncode == 0 and done.stdout.startswith('{"argv":'):
            lines = [*qemu_recorder.told(json.loads(done.stdout)["argv"][1:]), PRINTED]
        elif not (place / "told").exists():
            said = [line for line in done.stderr.splitlines() if line.startswith("cvmspawn: ")] or done.stderr.strip().splitlines() or [""]
            lines = [f"(QEMU was not started, status {done.returncode}: {said[-1]})" if done.returncode else "(QEMU was not started, status 0)"]
        else:
            lines = (place / "told").read_text().splitlines()
            if done.returncode != 0:
                lines = [*[line for line in lines if not line.startswith("qmp ")], f"{FAILED}{done.returncode})"]
        return [self.plain(line.replace(str(place), "@FOLDER@")) for line in lines]

    def plain(self, line):
        for pattern, text in PLAIN:
            line = re.sub(pattern, text, line)
        return line

    def both(self, number, row):
        options = [option for option in BASE if not any(option.startswith(name) for name in row.without)] + row.options
        ours = [f"--qemu-user={os.getuid()}", "--host-caps=caps.json", f"--qemu={self.folder}/c{number}/bin/qemu"]
        if coco := [option for option in options if option.startswith("--coco=")]:
            ours += ["--print=argv", "--json=short", "--allow-untrusted=disk", *(["--host-caps=host-tdx.json"] if coco == ["--coco=tdx"] else [])]
        for attempt in range(3):  # systemd-vmspawn can fail where QEMU ends soon after it began
            theirs = self.told(f"v{number}-{attempt}", self.peer.command, options)
            if not theirs[-1].startswith(FAILED):
                break
        return {"vmspawn": theirs, "cvmspawn": self.told(f"c{number}", [BUILD / "programs/cvmspawn", *ours], options)}


# Without QMP: how far it came depends on the processes' speed, or there was none.
FAILED, PRINTED = "(it failed, status ", "(printed only)"


def changes(base, now):
    """Lines that went away and lines that came, as often as they did, in their order."""
    if now[0].startswith("(QEMU was not started"):
        return [f"+ {now[0]}"]
    gone, come = [line for line in base if not (line.startswith("qmp ") and now[-1].startswith((FAILED, PRINTED)))], []
    for line in now:
        if line in gone:
            gone.remove(line)
        else:
            come.append(line)
    return [*[f"- {line}" for line in gone], *[f"+ {line}" for line in come]]


def test_what_qemu_is_told(peer):
    """The first block is the base launch."""
    comment, rows = table()
    # The names of sockets are short.
    with tempfile.TemporaryDirectory(prefix="pair-") as folder, concurrent.futures.ThreadPoolExecutor(2 * len(os.sched_getaffinity(0))) as pool:
        pair = Pair(peer, pathlib.Path(folder))
        told = list(pool.map(lambda numbered: pair.both(*numbered) if numbered[1].launched else None, enumerate(rows)))
    found = []
    for number, row in enumerate(rows):
        base = told[0] if number else {"vmspawn": [], "cvmspawn": []}
        found.append([f"{who} {line}" for who in base for line in changes(base[who], told[number][who])] if row.launched else [])
    if os.environ.get("UPDATE_GOLDEN") == "1":
        TABLE.write_text("\n\n".join([comment, *[row.text(lines) for row, lines in zip(rows, found)]]) + "\n")
        return
    for row, lines in zip(rows, found):
        assert lines == row.lines, row.head


def test_every_option_has_a_block(peer):
    """And every block its reason."""
    text = re.sub("\x1b\\[[0-9;]*m", "", peer.run("--no-pager", "--help").stdout)
    theirs = set(re.findall(r"^ +(?:-\w[ ,]+)?--([a-z0-9-]+)", text, re.M))
    _, rows = table()
    ours = {option.removeprefix("--").partition("=")[0] for row in rows for option in row.options} | {option.removeprefix("--").partition("=")[0] for option in BASE}
    assert len(theirs) > 50 and sorted(theirs - ours) == []
    assert [row.head for row in rows if not row.why] == []
