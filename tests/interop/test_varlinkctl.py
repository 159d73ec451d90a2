# SPDX-License-Identifier: LGPL-2.1-or-later
"""varlinkctl of systemd 262, of Debian sid, on the control socket of a guest."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from conftest import BUILD, SOURCE, skip_or_fail

sys.path.insert(0, str(SOURCE / "tests/lib"))
import vmspawn_peer  # noqa: E402

pytestmark = pytest.mark.full

SECONDS = 60
INSTANCE = "io.systemd.MachineInstance"
METHODS = {"Terminate", "PowerOff", "Reboot", "Pause", "Resume", "Describe", "SubscribeEvents", "AddStorage", "RemoveStorage", "ReplaceStorage"}
ERRORS = {"NotConnected", "NotSupported", "NoSuchStorage", "StorageExists", "StorageImmutable", "BadConfig", "ConfigNotSupported"}


@pytest.fixture(scope="session")
def varlinkctl():
    try:
        folder = vmspawn_peer.unpack_peer()
    except vmspawn_peer.Missing as error:
        skip_or_fail(str(error))
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    command = [folder / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{libraries}/systemd", folder / "usr/bin/varlinkctl"]
    if not command[-1].exists():
        skip_or_fail(f"{command[-1]} is missing")

    def run(*arguments, check=True, **options):
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=check, timeout=SECONDS, **options)

    print(run("--version").stdout.splitlines()[0])
    return run


@pytest.fixture
def guest(tmp_path):
    """The path of a guest's control socket, with a stand-in for QEMU."""
    scenario = tmp_path / "scenario.py"
    scenario.write_text("vm.start(); vm.serve()")
    qemu = tmp_path / "qemu"
    qemu.write_text(f'#!/bin/sh\nexec {sys.executable} {SOURCE}/tests/integration/fake_qemu.py {scenario} "$@"\n')
    qemu.chmod(0o755)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    kernel = tmp_path / "kernel"
    kernel.write_bytes(kernel_image())
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    with open(tmp_path / "log", "w+b") as log:
        process = subprocess.Popen([BUILD / "programs/cvmspawn", f"--qemu={qemu}", "--kvm=no", "--tpm=no", f"--linux={kernel}",
                                    f"--extra-drive=virtio-scsi:{disk}"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "RUNTIME_DIRECTORY": str(runtime)})
        deadline = time.monotonic() + SECONDS
        while not (runtime / "control").exists():
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
        yield runtime / "control"
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert list(runtime.iterdir()) == []


def kernel_image():
    """Enough of a bzImage for the launcher: Linux Documentation/arch/x86/boot.rst."""
    image = bytearray(4096)
    image[0x1f1] = 4
    image[0x1fe:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = (0x20f).to_bytes(2, "little")
    image[0x211] = 1
    return bytes(image)


def test_info(varlinkctl, guest):
    info = json.loads(varlinkctl("info", "--json=short", guest).stdout)
    assert (info["vendor"], info["product"]) == ("cvmspawn", "cvmspawn")
    assert set(info["interfaces"]) == {"io.systemd", INSTANCE, "io.systemd.VirtualMachineInstance", "org.varlink.service"}
    for interface in info["interfaces"]:
        """The definitions can be parsed, and name what they must."""
        text = varlinkctl("introspect", guest, interface).stdout
        assert f"interface {interface}" in text
        if interface == INSTANCE:
            assert set(re.findall(r"^method (\w+)", text, re.M)) == METHODS
            assert set(re.findall(r"^error (\w+)", text, re.M)) == ERRORS


def test_methods(varlinkctl, guest):
    def call(method, parameters="{}", *options, **keywords):
        return varlinkctl(*options, "--json=short", "call", guest, f"{INSTANCE}.{method}", parameters, **keywords)

    assert json.loads(call("Describe").stdout) == {"running": True, "status": "running"}
    assert json.loads(call("Pause").stdout) == {}
    assert json.loads(call("Describe").stdout) == {"running": False, "status": "paused"}
    assert json.loads(call("Resume").stdout) == {}
    events = call("SubscribeEvents", '{"filter":["STOP"]}', "--more", "--timeout=3", check=False)
    assert json.loads(events.stdout.strip("\x1e").splitlines()[0]) == {"event": "READY"}
    # varlinkctl turns the errors of org.varlink.service into errno, and shows their parameters.
    for method, parameters, error in (
        ("Snapshot", "{}", '{"method":"io.systemd.MachineInstance.Snapshot"}'),
        ("RemoveStorage", '{"name":"x"}', f"{INSTANCE}.NoSuchStorage"),
        ("RemoveStorage", "{}", '{"parameter":"name"}'),
        ("SubscribeEvents", "{}", "SubscribeEvents() failed"),
    ):
        done = call(method, parameters, check=False)
        assert done.returncode != 0 and error in done.stderr + done.stdout, (method, done)
    other = guest.parent.parent / "other"
    other.write_bytes(bytes(4096))
    done = call("AddStorage", '{"fileDescriptorIndex":0,"name":"x","config":"floppy"}', f"--push-fd={other}", check=False)
    assert done.returncode != 0 and f"{INSTANCE}.BadConfig" in done.stderr
    assert json.loads(call("AddStorage", '{"fileDescriptorIndex":0,"name":"x","config":"virtio-scsi"}', f"--push-fd={other}").stdout) == {}
    assert json.loads(call("ReplaceStorage", '{"fileDescriptorIndex":0,"name":"x"}', f"--push-fd={other}").stdout) == {}
    assert json.loads(call("RemoveStorage", '{"name":"x"}').stdout) == {}
