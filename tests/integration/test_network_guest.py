# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks of real guests under TCG, each in a network namespace that the test makes: what tap and passt do to this host stays there."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SOURCE, skip_or_fail
from launcher_fake import newc

BOOT = 240  # seconds: a busy machine needs many, an idle one ten
INTERFACE = (
    "modprobe virtio_net; cd /sys/class/net; i=0; until ls -d e* >/dev/null 2>&1; do sleep 0.1; i=$((i+1)); [ $i -lt 200 ] || exit 99; done; "
    "for n in e*; do :; done; b=/usr/bin/busybox; $b ip link set $n up; cat $n/address; "
)


def unpacked(name, suite, *packages):
    """Packages in the cache, once: (folder)."""
    cache = subprocess.run(["bash", "-c", '. "$0"; cache_directory; debian_codename', SOURCE / "tools/common.sh"], capture_output=True,
                           text=True, check=True).stdout.split()  # fmt: skip
    folder = Path(cache[0]) / "peers" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run([SOURCE / "tools/private-apt", suite or cache[1], "unpack", folder, *packages],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                skip_or_fail(f"{packages} cannot be fetched: {done.stderr.strip()[-300:]}")
            (folder / "complete").touch()
    return folder


@pytest.fixture
def busybox(tmp_path):
    part = tmp_path / "busybox.cpio"
    program = unpacked("busybox-static", "sid", "busybox-static") / "usr/bin/busybox"
    part.write_bytes(newc({"usr/bin/busybox": program.read_bytes()}))
    return f"--initrd={part}"


@pytest.fixture
def namespace():
    """Names a program that runs others in a new network namespace, and enters that of a process."""
    if os.geteuid() != 0:
        skip_or_fail("making network namespaces needs root here")
    if not shutil.which("ip"):
        skip_or_fail("ip is missing: install iproute2")
    return ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def inside(run, *command):
    done = subprocess.run(["nsenter", f"--net=/proc/{run.pid}/ns/net", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
def test_tap_pings(cvmspawn, busybox, namespace):
    """The interface has the name that systemd-networkd's 80-vm-vt.network matches, the guest the MAC address that follows from its name."""
    script = INTERFACE + (
        "$b ip addr add 192.0.2.2/24 dev $n; echo up; i=0; until $b ping -c 1 -W 1 192.0.2.1 >/dev/null; do i=$((i+1)); [ $i -lt 60 ] || exit 98; done; "
        "$b ping -c 3 192.0.2.1 | grep packets"
    )
    run = cvmspawn.start_guest(busybox, "--network-tap", "--machine=averylongmachinename", "--tpm=no", f"--run={script}",
                               prefix=namespace, env={"SYSTEMD_VMSPAWN_NETWORK_MAC": "32:6f:ba:0b:20:a6"})  # fmt: skip
    run.wait_for_output(b"up\n", timeout=BOOT)
    inside(run, "ip", "addr", "add", "192.0.2.1/24", "dev", "vt-averylonf3OO")
    inside(run, "ip", "link", "set", "vt-averylonf3OO", "up")
    assert "tun" in inside(run, "ip", "-details", "link", "show", "vt-averylonf3OO")
    result = run.wait(BOOT)
    assert (result.status, result.leftovers) == (0, []), result.err
    lines = result.out.splitlines()
    assert lines[0] == "32:6f:ba:0b:20:a6"
    assert lines[-1].startswith("3 packets transmitted, 3 packets received")


@pytest.mark.full
def test_passt_forwards_a_port(cvmspawn, busybox, namespace):
    passt = unpacked("passt", None, "passt")
    prepare = (
        "ip link set lo up && ip link add up0 type veth peer name down0 && ip addr add 198.51.100.2/24 dev up0 && ip link set up0 up && "
        'ip link set down0 up && ip route add default via 198.51.100.1 dev up0 && exec "$@"'
    )
    script = INTERFACE + (
        "$b ip addr add 198.51.100.2/24 dev $n; $b ip route add default via 198.51.100.1; echo answer >/run/answer; "
        "echo up; $b nc -l -p 22 </run/answer; sleep 1"
    )
    run = cvmspawn.start_guest(busybox, "--network=passt", "--publish=2222:22", "--tpm=no", f"--run={script}",
                               prefix=(*namespace[:4], prepare, "sh"), env={"PATH": f"{os.environ['PATH']}:{passt / 'usr/bin'}"})  # fmt: skip
    run.wait_for_output(b"up\n", timeout=BOOT)
    # The guest may not listen yet: then the connection is reset.
    ask = """if True:
        import socket, time
        answer = b""
        while not answer:
            try:
                with socket.create_connection(("127.0.0.1", 2222), 10) as s:
                    s.settimeout(10)
                    s.sendall(b"hello\\n")
                    answer = s.recv(100)
            except OSError:
                time.sleep(0.2)
        print(answer.decode(), end="")
    """
    assert inside(run, "python3", "-c", ask) == "answer\n"
    result = run.wait(BOOT)
    assert (result.status, result.leftovers) == (0, []), result.err
