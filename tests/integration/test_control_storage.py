# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that come and go while the guest runs: AddStorage, RemoveStorage and ReplaceStorage of the control socket."""

import json
import os
import time

import pytest
from control_client import Client, Refused, control_of

SERVE = "vm.start(); vm.serve(); "
BOOT = 120
INVALID = "org.varlink.service.InvalidParameter"
SYSTEM = "io.systemd.System"


def raw(path, text=b"", size=1024 * 1024):
    with open(path, "wb") as file:
        file.write(text)
        file.truncate(size)
    return path


@pytest.fixture
def disks(tmp_path):
    return [raw(tmp_path / f"disk-{number}.raw", b"text of disk %d\n" % number) for number in range(3)]


def test_errors_come_first(fake, disks):
    run = fake.start(SERVE, f"--extra-drive=virtio-scsi:{disks[0]}")
    client = Client(control_of(run))

    def add(config, **more):
        return client.refusal("AddStorage", disks[1], name="x", config=config, **more)

    assert add("floppy") == "BadConfig"
    assert add(1) == INVALID
    assert client.refusal("AddStorage", disks[1], name=str(disks[0]), config="virtio-scsi") == "StorageExists"
    assert client.refusal("AddStorage", disks[1], name="disk1", config="virtio-scsi") == "StorageExists"
    assert client.refusal("AddStorage", disks[1], name="y" * 256, config="virtio-scsi") == INVALID
    assert client.refusal("AddStorage", disks[1], name="x", config="virtio-scsi", fileDescriptorIndex=1) == INVALID
    assert client.refusal("AddStorage", disks[1], os.O_WRONLY, name="x", config="virtio-scsi") == SYSTEM
    assert client.refusal("AddStorage", disks[1], os.O_PATH, name="x", config="virtio-scsi") == SYSTEM
    assert client.refusal("AddStorage", "/dev/null", name="x", config="virtio-scsi") == SYSTEM
    assert client.refusal("AddStorage", disks[1].parent, os.O_RDONLY, name="x", config="virtio-scsi") == SYSTEM
    assert client.refusal("RemoveStorage", name="disk1") == client.refusal("ReplaceStorage", disks[1], name="disk1") == "StorageImmutable"
    assert client.refusal("RemoveStorage", name="x") == client.refusal("ReplaceStorage", disks[1], name="x") == "NoSuchStorage"
    for number in range(16):
        assert client.call_with_file("AddStorage", disks[1], name=f"x{number}", config="virtio-scsi") == {}
    assert add("virtio-scsi") == SYSTEM
    assert client.refusal("AddStorage", disks[1], name="x3", config="virtio-scsi") == "StorageExists"
    client.call("Terminate")
    assert run.wait().leftovers == []


SEEN = """
    vm.start()
    import json
    refuse = True
    while line := vm.lines.readline():
        command = json.loads(line)
        answer = {"return": {"running": True, "status": "running"}}
        if command["execute"] == "device_add":
            sys.stderr.write("plugged " + json.dumps(command["arguments"]) + "\\n")
            if command["arguments"]["driver"] == "virtio-scsi-pci" and refuse:
                refuse = False
                answer = {"error": {"class": "GenericError", "desc": "no room"}}
        vm.tell({**answer, "id": command["id"]})
        if command["execute"] == "device_del":
            vm.tell({"event": "DEVICE_DELETED", "data": {"device": command["arguments"]["id"], "path": "/x"}})
        if command["execute"] == "quit":
            vm.power_off("host-qmp-quit")
"""


def plugged(result):
    return [json.loads(line.partition("plugged ")[2]) for line in result.err.splitlines() if "plugged " in line]


def add_to_a_port_of_before(client, disk):
    """The port is free once QEMU says that the device is gone, which may be after the answer to its removal."""
    for _ in range(100):
        try:
            assert client.call_with_file("AddStorage", disk, name="x3", config="virtio-blk") == {}
            return
        except Refused as e:
            assert e.args[0] == "io.systemd.System", e
            time.sleep(0.05)
    raise AssertionError("the port stays in use")


def test_a_machine_without_disks(fake, disks):
    """Its spare ports take a disk each, and one the SCSI bus; a port that is free again is used again."""
    run = fake.start(SEEN)
    client = Client(control_of(run))
    for number, kind in enumerate(["virtio-blk", None]):
        assert client.call_with_file("AddStorage", disks[0], name=f"x{number}", config=kind) == {}
    assert client.refusal("AddStorage", disks[0], name="bus", config="virtio-scsi") == SYSTEM  # QEMU refuses the bus
    for number in range(2):
        assert client.call_with_file("AddStorage", disks[1], name=f"s{number}", config="virtio-scsi") == {}
    assert client.call_with_file("AddStorage", disks[0], name="x2", config="nvme") == {}
    assert client.refusal("AddStorage", disks[0], name="x3", config="nvme") == SYSTEM
    assert client.call_with_file("AddStorage", disks[1], name="s2", config="scsi-cd") == {}
    assert client.call("RemoveStorage", name="x1") == {}
    add_to_a_port_of_before(client, disks[0])
    client.call("Terminate")
    result = run.wait()
    assert result.leftovers == []
    expected = [("virtio-blk-pci", "hot-port-0"), ("virtio-blk-pci", "hot-port-1"), ("virtio-scsi-pci", "hot-port-2"),
                ("scsi-hd", "scsi0.0"), ("virtio-scsi-pci", "hot-port-2"), ("scsi-hd", "scsi0.0"), ("scsi-hd", "scsi0.0"), ("nvme", "hot-port-3"),
                ("scsi-cd", "scsi0.0"), ("virtio-blk-pci", "hot-port-1")]  # fmt: skip
    assert [(device["driver"], device["bus"]) for device in plugged(result)] == expected


@pytest.mark.parametrize("consent", [False, True], ids=["without consent", "with consent"])
def test_a_confidential_machine_needs_consent(fake, disks, small_initrd, firmware, consent):
    """No digest covers a disk."""
    run = fake.start(SERVE, "--coco=sev-snp", "--simulate", f"--firmware={firmware}", f"--initrd={small_initrd}",
                     *(["--allow-untrusted=disk"] if consent else []))
    client = Client(control_of(run))
    if consent:
        assert client.call_with_file("AddStorage", disks[0], name="x", config="virtio-blk") == {}
    else:
        assert client.refusal("AddStorage", disks[0], name="x", config="virtio-blk") == "org.varlink.service.PermissionDenied"
    client.call("Terminate")
    assert run.wait().leftovers == []


@pytest.mark.parametrize("command", ["add-fd", "blockdev-add", "device_add"])
def test_qemu_refuses(fake, disks, command):
    """What succeeded is taken back, and the name is free again."""
    run = fake.start(f"""
        vm.start()
        import json
        refuse = True
        while line := vm.lines.readline():
            command = json.loads(line)
            vm.seen.append(command["execute"])
            answer = {{"return": {{"running": True, "status": "running"}}}}
            if command["execute"] == "{command}" and refuse:
                answer = {{"error": {{"class": "GenericError", "desc": "no room"}}}}
                refuse = command["execute"] == "blockdev-add" and vm.seen[-2] == "add-fd"
            vm.tell({{**answer, "id": command["id"]}})
            if command["execute"] == "quit":
                sys.stderr.write(" ".join(name for name in vm.seen if name != "query-status"))
                vm.power_off("host-qmp-quit")
    """, f"--extra-drive=virtio-scsi:{disks[0]}")
    client = Client(control_of(run))
    assert client.refusal("AddStorage", disks[1], name="x", config="virtio-scsi") == SYSTEM
    assert client.call_with_file("AddStorage", disks[1], name="x", config="virtio-scsi") == {}
    client.call("Terminate")
    result = run.wait()
    assert "QEMU refused disk 'x': no room" in result.err
    change = "add-fd blockdev-add remove-fd blockdev-add device_add"
    assert f"{change} blockdev-del blockdev-del {change} quit" in result.err


def test_a_real_guest(cvmspawn, tmp_path, disks):
    """The guest sees a disk come, writes to it, sees it go; and another one in its place."""
    boot = raw(tmp_path / "boot.raw")
    script = """
        modprobe -a virtio_scsi sd_mod
        see() { while ! eval "$1"; do sleep 0.1; done; echo "$2"; }
        see '[ -b /dev/sda ]' ready
        see '[ -b /dev/sdb ]' "$(true)came"
        until read -r text </dev/sdb; do sleep 0.1; done 2>/dev/null; echo "it says: $text"
        echo "written by the guest" | dd of=/dev/sdb bs=512 seek=4 conv=sync oflag=sync 2>/dev/null; echo written
        see '! [ -b /dev/sdb ]' went
        exit 5
    """
    run = cvmspawn.start_guest(f"--image={boot}", "--image-disk-type=virtio-scsi", "--tpm=no", "root=tmpfs", "--run=" + script)
    client = Client(control_of(run))
    run.wait_for_output(b"ready\n", timeout=BOOT)
    watcher = Client(run.control / "control")
    watcher.subscribe("DEVICE_DELETED")
    assert client.refusal("AddStorage", boot, name="x", config="virtio-scsi") == SYSTEM  # in use
    assert client.call_with_file("AddStorage", disks[0], name="data", config="virtio-scsi") == {}
    run.wait_for_output(b"it says: text of disk 0\n", timeout=BOOT)
    run.wait_for_output(b"written\n", timeout=BOOT)
    assert client.call_with_file("ReplaceStorage", disks[1], name="data") == {}
    assert client.call_with_file("AddStorage", disks[2], os.O_RDONLY, name="cd", config="scsi-cd") == {}
    assert client.call_with_file("ReplaceStorage", disks[0], os.O_RDONLY, name="cd") == {}
    assert client.call("RemoveStorage", name="cd") == {}
    assert client.call("RemoveStorage", name="data") == {}
    assert [watcher.event() for _ in range(2)] == ["DEVICE_DELETED"] * 2
    assert client.refusal("RemoveStorage", name="data") == "NoSuchStorage"
    result = run.wait()
    assert (result.status, result.leftovers) == (5, [])
    assert disks[0].read_bytes()[2048:].startswith(b"written by the guest\n")


def is_gone(client, name):
    try:
        client.call("RemoveStorage", name=name)
    except Refused as e:
        return e.args[0].endswith(".NoSuchStorage")
    return False


@pytest.mark.full
def test_every_kind_in_a_guest_without_disks(cvmspawn, disks):
    """By spare ports: the guest sees each kind of disk come with its text, and go."""
    script = """
        modprobe -a virtio_blk nvme virtio_scsi sd_mod
        see() { while ! eval "$1"; do sleep 0.1; done; echo "$2"; }
        echo ready
        for disk in vda nvme0n1 sda; do
            see "[ -b /dev/$disk ]" "$disk $(true)came"
            until read -r text </dev/$disk; do sleep 0.1; done 2>/dev/null; echo "$disk says: $text"
            see "! [ -b /dev/$disk ]" "$disk $(true)went"
        done
        exit 5
    """
    run = cvmspawn.start_guest("--tpm=no", "--run=" + script)
    client = Client(control_of(run))
    run.wait_for_output(b"ready\n", timeout=BOOT)
    for number, (name, kind) in enumerate([("vda", "virtio-blk"), ("nvme0n1", "nvme"), ("sda", "virtio-scsi")]):
        assert client.call_with_file("AddStorage", disks[number], name=name, config=kind) == {}
        run.wait_for_output(f"{name} says: text of disk {number}\n".encode(), timeout=BOOT)
        assert client.call("RemoveStorage", name=name) == {}
        run.wait_for_output(f"{name} went\n".encode(), timeout=BOOT)
        while not is_gone(client, name):  # QEMU hears of it a moment later
            time.sleep(0.1)
    result = run.wait()
    assert (result.status, result.leftovers) == (5, [])
