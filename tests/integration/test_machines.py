# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests as machines of the host: registered with systemd-machined, in scope units of the service manager, by the template unit. systemd runs as
PID 1 in a root of the test's own (systemd_root.py): release 262 of Debian sid, and this machine's own release, whose machined knows D-Bus only."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import SOURCE, build_folder, skip_or_fail
from launcher_fake import newc
from systemd_root import NotHere, SystemdRoot

sys.path.insert(0, str(SOURCE / "tests/lib"))
import vmspawn_peer  # noqa: E402

SERVE = "vm.start(); vm.serve()"
KILLS = 50 if os.environ.get("CVMSPAWN_SOAK") == "1" else 5
SECONDS = 120

pytestmark = pytest.mark.full


def own_release(cache):
    """systemd of this machine's Debian release with its machined, as a layer."""
    folder = cache / "peers" / "systemd-own"
    if not (folder / "complete").exists():
        codename = re.search(r"VERSION_CODENAME=(\w+)", open("/etc/os-release", encoding="ascii").read())
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([SOURCE / "tools/private-apt", codename[1] if codename else "?", "closure", folder, "systemd-container", "systemd"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            skip_or_fail(f"systemd-container of this release could not be fetched: {done.stderr.strip()[-300:]}")
        (folder / "complete").touch()
    return folder


class World:
    """The root, and cvmspawn in it with a stand-in for QEMU: all of it outside /tmp, which services have for themselves."""

    program = "/opt/build/programs/cvmspawn"
    kernel = "/opt/files/kernel"
    stand_in = "/opt/place/qemu"

    def __init__(self, root):
        self.root = root
        self.qemu = root.qemu
        self.options = [f"--qemu={self.stand_in}", "--kvm=no", "--tpm=no", "--vsock=no", f"--linux={self.kernel}"]
        self.guests = []

    def start(self, name, *options, env=()):
        guest = self.root.start(self.program, *self.options, "--json=short", *([f"--machine={name}"] if name else []), *options, env=env)
        self.guests.append(guest)
        return guest

    def running(self, name, *options, **more):
        """A guest that runs."""
        guest = self.start(name, *options, **more)
        for line in guest.stdout:
            if json.loads(line)["event"] == "started":
                return guest
        pytest.fail(f"the guest did not start: {guest.stderr.read()}")

    def machines(self):
        """{name: (class, service)}"""
        lines = self.root.out("machinectl", "list", "--no-legend", "--no-pager").splitlines()
        return {words[0]: tuple(words[1:3]) for words in map(str.split, lines) if len(words) >= 3}

    def property(self, unit, name):
        return self.root.out("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def scopes(self):
        lines = self.root.out("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "machine-*.scope").splitlines()
        return [line.split()[0] for line in lines]

    def leftovers(self):
        """What a launcher could have left."""
        found = self.root.out("sh", "-c", "cd /run/cvmspawn 2>/dev/null && find . -mindepth 1; ls /sys/class/net; pgrep -l 'spawn|qemu|python' || :")
        names = [line for line in found.split("\n") if line and (line[:2] == "./" or line[:1].isdigit() or line[:3] == "vt-")]
        return [*names, *self.machines(), *self.scopes()]

    def wait_for_nothing(self):
        self.root.wait_for(lambda: not self.leftovers(), lambda: f"left: {self.leftovers()}")

    def end(self):
        for guest in self.guests:
            guest.kill()
            guest.communicate()


def make_root(tmp_path_factory, artifacts, layer):
    folder = tmp_path_factory.mktemp("root")
    folder.chmod(0o755)
    work, files = folder / "work", folder / "files"
    for place in work, files:
        place.mkdir()
    shutil.copy(artifacts["KERNEL"], files / "kernel")
    (files / "initrd").write_bytes(newc({"init": (build_folder() / "tests/lib/tiny-init").read_bytes()}))
    (work / "scenario").write_text(SERVE)
    (work / "qemu").write_text('#!/bin/sh\nexec /usr/bin/python3 /opt/source/tests/integration/fake_qemu.py /opt/place/scenario "$@"\n')
    (work / "qemu").chmod(0o755)
    binds = [(SOURCE, "/opt/source"), (build_folder().resolve(), "/opt/build"), (work, "/opt/place"), (files, "/opt/files"),
             (artifacts["QEMU"].parent, artifacts["QEMU"].parent), (vmspawn_peer.cache_folder(), vmspawn_peer.cache_folder())]
    try:
        root = SystemdRoot(folder, layer, binds)
    except NotHere as e:
        skip_or_fail(f"systemd cannot be PID 1 of a separate root here: {e}")
    root.qemu = artifacts["QEMU"]
    return root


@pytest.fixture(scope="module")
def new_root(tmp_path_factory, artifacts):
    try:
        layer = vmspawn_peer.unpack_peer()
    except vmspawn_peer.Missing as e:
        skip_or_fail(str(e))
    root = make_root(tmp_path_factory, artifacts, layer)
    yield root
    root.close()


@pytest.fixture(scope="module")
def old_root(tmp_path_factory, artifacts):
    root = make_root(tmp_path_factory, artifacts, own_release(vmspawn_peer.cache_folder()))
    yield root
    root.close()


@pytest.fixture
def world(new_root):
    w = World(new_root)
    yield w
    w.end()
    w.wait_for_nothing()


@pytest.fixture
def old_world(old_root):
    w = World(old_root)
    yield w
    w.end()
    w.wait_for_nothing()


def test_list_and_status(world):
    guest = world.running("web", "--register=yes", "--uuid=00112233445566778899aabbccddeeff")
    assert world.machines() == {"web": ("vm", "cvmspawn")}
    status = world.root.out("machinectl", "status", "web", "--no-pager")
    assert "machine-web.scope" in status and "00112233445566778899aabbccddeeff" in status
    leader = world.root.out("machinectl", "show", "web", "--property=Leader", "--value").strip()
    assert world.root.out("cat", f"/proc/{leader}/comm").startswith(("python", "qemu"))
    listed = json.loads(world.root.out("varlinkctl", "call", "--json=short", "/run/systemd/machine/io.systemd.Machine", "io.systemd.Machine.List",
                                       '{"name":"web"}'))
    assert listed["controlAddress"] == "/run/cvmspawn/web/control"
    assert world.property("machine-web.scope", "Slice") == "machine.slice"
    assert world.property("machine-web.scope", "TasksMax") == "16384"
    assert world.root.out("cat", f"/proc/{leader}/cgroup").strip().endswith("/machine.slice/machine-web.scope")
    guest.signal()


@pytest.mark.parametrize("verb, source", [("poweroff", "guest"), ("terminate", "control")])
def test_machinectl_ends_it(world, verb, source):
    guest = world.running("web")
    world.root.out("machinectl", verb, "web")
    out, err = guest.communicate(timeout=SECONDS)
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["source"], last["status"]) == ("exit", source, 0), err
    assert guest.returncode == 0


def test_pause_and_resume(world):
    world.running("web")
    world.root.out("machinectl", "pause", "web")
    assert "paused" in world.root.out(world.program, "status", "web")
    world.root.out("machinectl", "resume", "web")
    assert "running" in world.root.out(world.program, "status", "web")


def test_slice_and_properties_of_a_registered_guest(world):
    """systemd-vmspawn 262 leaves them out here."""
    world.running("web-1", "--slice=guests", "--property=MemoryMax=3G", "--property=CPUQuota=150%", "--property=Description=a guest",
                  "--property=AllowedCPUs=0", "--property=After=basic.target", "--property=TasksMax=50%")
    unit = "machine-web\\x2d1.scope"
    assert world.machines()["web-1"]
    assert world.property(unit, "Slice") == "guests.slice"
    assert world.property(unit, "MemoryMax") == str(3 << 30)
    assert world.property(unit, "CPUQuotaPerSecUSec") in ("1.5s", "1.500000s")
    assert world.property(unit, "Description") == "a guest"
    assert world.property(unit, "AllowedCPUs") == "0"
    assert "basic.target" in world.property(unit, "After")


def test_a_scope_without_registration(world):
    world.running("web", "--register=no", "--slice=guests")
    assert world.machines() == {}
    assert world.property("machine-web.scope", "Slice") == "guests.slice"


def test_nothing_is_asked_for_without_registration(world):
    world.running("web", "--register=no")
    assert (world.machines(), world.scopes()) == ({}, [])


def test_a_guest_that_nobody_named_is_not_registered(world):
    world.running(None)
    assert (world.machines(), world.scopes()) == ({}, [])


def test_a_name_that_is_taken(world):
    world.running("web")
    other = world.start("web", "--register=yes", env=["RUNTIME_DIRECTORY=/run"])
    out, err = other.communicate(timeout=SECONDS)
    assert other.returncode == 125
    assert "--register=yes: cannot register the guest 'web'" in err and "machine-web.scope" in err
    assert set(world.machines()) == {"web"}


def test_the_same_name_again_and_again(world):
    """What is left of the guest before is waited for."""
    for _ in range(5):
        guest = world.running("web", "--register=yes")
        world.root.out("machinectl", "terminate", "web")
        assert guest.wait(SECONDS) == 0


def test_property_of_the_service_manager(world):
    """What its syntax allows, and the service manager refuses."""
    guest = world.start("web", "--property=KillMode=sometimes")
    out, err = guest.communicate(timeout=SECONDS)
    assert guest.returncode == 125
    assert "--slice= and --property=: cannot start the scope unit 'machine-web.scope':" in err


def test_the_network_is_configured(world):
    """systemd-networkd's own 80-vm-vt.network matches the interface."""
    if not os.path.exists("/dev/net/tun"):
        skip_or_fail("/dev/net/tun is missing")
    world.root.out("systemctl", "start", "systemd-networkd")
    guest = world.running("web", "--network-tap")
    try:
        world.root.wait_for(lambda: "80-vm-vt.network" in world.root.out("networkctl", "status", "--no-pager", "vt-web"),
                            lambda: world.root.out("networkctl", "status", "--no-pager", "vt-web"))
        interface = world.root.out("cat", "/sys/class/net/vt-web/ifindex").strip()
        assert world.root.out("busctl", "get-property", "org.freedesktop.machine1", "/org/freedesktop/machine1/machine/web",
                              "org.freedesktop.machine1.Machine", "NetworkInterfaces").split() == ["ai", "1", interface]
    finally:
        guest.signal()
        guest.wait(SECONDS)
        world.root.run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd", check=False)


def install_unit(world):
    unit = (build_folder() / "data/units/cvmspawn@.service").read_text()
    installed = re.search(r"^ExecStart=(\S+)", unit, re.M)[1]
    world.root.write("/etc/systemd/system/cvmspawn@.service", unit.replace(installed, world.program))
    world.root.out("systemctl", "daemon-reload")


def test_template_unit(world):
    """A guest of the name's options, with READY=1, machinectl, and a clean end."""
    install_unit(world)
    options = list(world.options)
    if not os.path.exists("/dev/net/tun"):
        options.append("--network=none")
    world.root.write("/etc/cvmspawn/web.conf", f"CVMSPAWN_OPTIONS={' '.join(options)}\n")
    world.root.out("systemctl", "start", "cvmspawn@web")
    assert world.machines() == {"web": ("vm", "cvmspawn")}
    assert "cvmspawn@web.service" in world.root.out("machinectl", "status", "--no-pager", "web")
    assert world.scopes() == []
    assert "running" in world.root.out(world.program, "status", "web")
    world.root.out("systemctl", "stop", "cvmspawn@web")
    assert world.property("cvmspawn@web", "Result") == "success"

    world.root.out("systemctl", "start", "cvmspawn@web")
    world.root.out("machinectl", "poweroff", "web")
    world.root.wait_for(lambda: world.property("cvmspawn@web", "ActiveState") == "inactive", "the unit did not end")
    assert world.property("cvmspawn@web", "Result") == "success"


def test_template_unit_with_an_image(world):
    """Without options: NAME.raw of /var/lib/machines, booted by a real QEMU's firmware."""
    install_unit(world)
    world.root.write("/etc/cvmspawn/disk.conf", f"CVMSPAWN_OPTIONS=--qemu={world.qemu} --kvm=no --tpm=no --vsock=no --network=none --firmware=bios\n")
    world.root.out("truncate", "--size=1M", "/var/lib/machines/disk.raw")
    world.root.out("systemctl", "start", "cvmspawn@disk")
    assert "cvmspawn@disk.service" in world.root.out("machinectl", "status", "--no-pager", "disk")
    world.root.out("machinectl", "terminate", "disk")
    world.root.wait_for(lambda: world.property("cvmspawn@disk", "ActiveState") != "active", "the unit did not end")
    assert world.property("cvmspawn@disk", "Result") == "success"
    world.root.out("rm", "/var/lib/machines/disk.raw")


def test_template_unit_is_well_confined(world):
    install_unit(world)
    said = world.root.out("systemd-analyze", "security", "--no-pager", "cvmspawn@web.service")
    score = re.search(r"exposure level.*: ([\d.]+) OK", said)
    assert score and float(score[1]) < 5, said[-200:]


def test_a_real_guest(world):
    """A kernel that boots under QEMU, in the scope, until it is terminated."""
    guest = world.root.start(world.program, f"--qemu={world.qemu}", *world.options[1:], "--initrd=/opt/files/initrd", "--ram=256M", "--machine=tiny",
                             "--register=yes", "--console=read-only", "--", "--", "idle")
    world.guests.append(guest)
    assert any("Kernel panic" in line for line in guest.stdout)
    assert "machine-tiny.scope" in world.root.out("machinectl", "status", "--no-pager", "tiny")
    assert "qemu" in world.root.out("systemctl", "status", "--no-pager", "machine-tiny.scope")
    world.root.out("machinectl", "terminate", "tiny")
    guest.communicate(timeout=SECONDS)
    assert guest.returncode == 0


def test_a_killed_launcher_leaves_nothing(world):
    """SIGKILL, from the first instruction to a guest that runs: no process, scope, registration, interface, socket or file is left."""
    options = ["--register=yes", "--slice=guests", *(["--network-tap"] if os.path.exists("/dev/net/tun") else [])]
    begun = time.monotonic()
    world.running("web", *options).kill()
    whole = time.monotonic() - begun
    for i in range(KILLS):
        guest = world.start("web", *options)
        time.sleep(whole * 1.2 * i / KILLS)
        guest.kill()
        guest.communicate()
    world.wait_for_nothing()
    world.running("web", *options)


# --- by D-Bus ----------------------------------------------------------------------------------------------------------


def test_old_machined(old_world):
    """One that has no io.systemd.Machine."""
    print(old_world.root.out("systemctl", "--version").splitlines()[0])
    guest = old_world.running("web", "--register=yes", "--slice=guests", "--property=MemoryMax=3G")
    assert old_world.machines() == {"web": ("vm", "cvmspawn")}
    assert old_world.property("machine-web.scope", "Slice") == "guests.slice"
    assert old_world.property("machine-web.scope", "MemoryMax") == str(3 << 30)
    assert "machine-web.scope" in old_world.root.out("machinectl", "status", "--no-pager", "web")
    guest.signal()
    guest.communicate(timeout=SECONDS)
    old_world.wait_for_nothing()
    guest = old_world.running("web", "--register=yes")
    old_world.root.out("machinectl", "terminate", "web")
    guest.communicate(timeout=SECONDS)


def test_old_machined_with_the_template_unit(old_world):
    """machined signals its leader: the launcher, whose unit is the guest's."""
    install_unit(old_world)
    old_world.root.write("/etc/cvmspawn/web.conf", f"CVMSPAWN_OPTIONS={' '.join(old_world.options)} --network=none\n")
    old_world.root.out("systemctl", "start", "cvmspawn@web")
    assert old_world.machines()["web"]
    old_world.root.out("machinectl", "poweroff", "web")
    old_world.root.wait_for(lambda: old_world.property("cvmspawn@web", "ActiveState") == "inactive", "the unit did not end")
    assert old_world.property("cvmspawn@web", "Result") == "success"
