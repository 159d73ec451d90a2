# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export openstack` and `measure --from-openstack=` judged by Nova of Debian sid (34.0 when this was written): its own code writes the domain's XML
for the exported image and flavor, and that domain measures as the launch options do. No OpenStack service runs; nova_peer.py says what is not real."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid

import pytest
from conftest import BUILD, SOURCE, cache_folder, private_apt, skip_or_fail

sys.path.insert(0, str(SOURCE / "tests/integration"))
from test_export_openstack import DISK, LAUNCH, SNP, WORDS, cpu_of, folder  # noqa: E402, F401

pytestmark = pytest.mark.full
SECONDS = 300
# Nova's own fake host is in its package, and needs these of its tests' libraries.
PACKAGES = "python3-nova", "python3-oslotest", "python3-requests-mock", "python3-wsgi-intercept"
SINGLE = [[f"--coco={mode}", "--firmware=fw.fd", "--sev-vm-type=legacy", *cpu, *DISK] for mode, cpu in (("sev", []), ("sev-es", ["--cpu=EPYC-Rome", "--cpus=3"]))]
BASE = {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_mem_encryption": "true", "hw_mem_encryption_model": "amd-sev-snp",
        "hw_firmware_stateless": "true"}  # fmt: skip


class Nova:
    def __init__(self, peer, instances):
        library = peer / "usr/lib/x86_64-linux-gnu"
        (python,) = (peer / "usr/bin").glob("python3.??")
        self.argv = [peer / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", library, python, SOURCE / "tests/interop/nova_peer.py", instances]
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONHOME": str(peer / "usr"), "PYTHONPATH": str(peer / "usr/lib/python3/dist-packages"),
                    "PYTHONWARNINGS": "ignore"}  # fmt: skip
        self.instances = instances

    def ask(self, servers):
        """servers: (image's properties, flavor, CPU model, more); the answers, and the folder of each instance."""
        asked = []
        for properties, flavor, cpu, more in servers:
            asked.append({"image": {"id": str(uuid.uuid4()), "properties": properties}, "flavor": {"vcpus": 2, "ram": 1024, "properties": {}} | flavor, "cpu": cpu} | more)
        done = subprocess.run(self.argv, env=self.env, input=json.dumps(asked), capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return [(answer, self.instances / server["image"]["id"]) for answer, server in zip(json.loads(done.stdout), asked, strict=True)]


@pytest.fixture(scope="module")
def nova(tmp_path_factory):
    if os.uname().machine != "x86_64":
        skip_or_fail("Debian's Python is fetched as a program for x86-64 only")
    peer = cache_folder("peers") / "nova-sid"
    with open(peer.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (peer / "complete").exists():
            shutil.rmtree(peer, ignore_errors=True)
            peer.mkdir()
            private_apt("sid", "closure", peer, *PACKAGES)
            private_apt("sid", "unpack", peer, "libc6")
            (peer / "complete").touch()
    print("Nova", *(path.name for path in (peer / "usr/lib/python3/dist-packages").glob("nova-*-info")))
    return Nova(peer, tmp_path_factory.mktemp("instances"))


def cvmspawn(cwd, verb, *argv, text=None):
    return subprocess.run([BUILD / f"programs/verb-{verb}", *map(str, argv)], cwd=cwd, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def digests(folder, tmp_path, server, answer):  # noqa: F811
    """By Nova's XML, its files where Nova puts them, and by the properties."""
    properties, flavor, cpu, _ = server
    result, place = answer
    assert "xml" in result, result
    place.mkdir(exist_ok=True)
    files = {}
    for key, name in (("kernel_id", "kernel"), ("ramdisk_id", "ramdisk")):
        if key in properties and properties["kernel_id"] != "nokernel":
            files[name] = folder / properties[key]
            shutil.copy(files[name], place / name)
    (tmp_path / "image.json").write_text(json.dumps({"id": "i", "name": "n", "properties": properties}))
    (tmp_path / "flavor.json").write_text(json.dumps({"vcpus": 2, "ram": 1024, "properties": {}} | flavor))
    sev = properties.get("hw_mem_encryption_model") == "amd-sev"
    signature = ["--vcpu-sig=0xa00f11"] if cpu == "host" else []
    back = cvmspawn(tmp_path, "measure", "--from-openstack=image.json", "--flavor=flavor.json", f"--ovmf={folder}/fw.fd",
                    *(signature or ([] if sev else [f"--vcpu-type={cpu}"])),
                    *(f"--{'initrd' if name == 'ramdisk' else name}={path}" for name, path in files.items()))  # fmt: skip
    xml = cvmspawn(place, "measure", "--from-libvirt=-", f"--ovmf={folder}/fw.fd", *signature, text=result["xml"])
    return ok(xml).strip(), ok(back).strip()


def exported(folder, options, words):  # noqa: F811
    """What the export tells Glance and Nova; an image's ID is its file's name."""
    told = json.loads(ok(cvmspawn(folder, "export", "openstack", "--json", f"--output={folder}/out-{uuid.uuid4()}", *options, "--", *words)))
    files = {i["role"]: i["file"] for i in told["images"]}
    main = told["images"][-1]
    references = {key: files[role] for key, role in main["references"].items()}
    return (main["properties"] | references, {k: told["flavor"][k] for k in ("vcpus", "ram", "properties")}, cpu_of(options), {})


def test_round_trip(nova, folder, tmp_path):  # noqa: F811
    """options -> export -> Nova's XML -> digest = digest of the properties = digest of the options."""
    launches = [*SNP[::4], *((options, []) for options in SINGLE)]
    assert len(launches) >= 12
    servers = [exported(folder, *launch) for launch in launches]
    for launch, server, answer in zip(launches, servers, nova.ask(servers), strict=True):
        digest = ok(cvmspawn(folder, "measure", *launch[0], "--", *launch[1])).strip()
        assert digests(folder, tmp_path, server, answer) == (digest, digest), launch


def test_command_lines(nova, folder, tmp_path):  # noqa: F811
    """Nova's own command line, and how much of a long one it keeps for a later start."""
    parts = {"kernel_id": "kernel", "ramdisk_id": "initrd"}
    servers = [({**BASE, **parts, "os_command_line": "quiet"}, {}, "EPYC-Milan", {"again": True})]
    servers += [({**BASE, **parts, "os_command_line": "x" * n}, {}, "EPYC-Milan", {"again": again}) for n in (255, 256) for again in (False, True)]
    servers += [({**BASE, **parts, "os_command_line": "quiet"}, {}, "host", {})]
    *answers, (own, _) = nova.ask([*servers, ({**BASE, **parts}, {}, "EPYC-Milan", {})])
    found = [digests(folder, tmp_path, s, a) for s, a in zip(servers, answers, strict=True)]
    assert [xml == properties for xml, properties in found] == [True, True, True, True, False, True]
    # The device that it begins with is in the server's answer.
    assert "<cmdline>root=/dev/vda console=tty0 console=ttyS0 console=hvc0</cmdline>" in own["xml"]


# Changes of the image's properties, the flavor's; whether Nova starts it. None: without that property.
AGREED = [
    ({}, {}, True),
    ({"hw_mem_encryption": None, "hw_mem_encryption_model": None}, {"hw:mem_encryption": "true", "hw:mem_encryption_model": "amd-sev-snp"}, True),
    ({}, {"hw:mem_encryption": "True", "hw:mem_encryption_model": "amd-sev-snp"}, True),
    ({}, {"hw:mem_encryption": "false"}, False),
    ({"hw_mem_encryption": "false"}, {"hw:mem_encryption": "true"}, False),
    ({}, {"hw:mem_encryption_model": "amd-sev"}, False),
    ({"hw_mem_encryption_model": "amd-sev-xl"}, {}, False),
    ({"hw_firmware_type": "bios"}, {}, False),
    ({"hw_firmware_type": None}, {}, False),
    ({"hw_machine_type": "pc"}, {}, False),
    ({"hw_machine_type": "pc-q35-2.11"}, {}, True),
    ({"hw_firmware_stateless": None}, {}, False),
    ({"hw_firmware_stateless": None, "hw_mem_encryption_model": "amd-sev"}, {}, True),
    ({"hw_mem_encryption_model": "amd-sev-es"}, {}, True),
    ({"hw_mem_encryption_model": None}, {}, True),
    ({"kernel_id": "nokernel", "ramdisk_id": "initrd"}, {}, True),
    ({"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"}, {}, True),
]


def test_agreement(nova, folder, tmp_path):  # noqa: F811
    """What Nova refuses, measure refuses; what it starts measures the same by both ways."""
    servers = []
    for image, specs, _ in AGREED:
        servers.append(({k: v for k, v in (BASE | image).items() if v is not None}, {"properties": specs}, "host", {}))
    for (image, specs, starts), server, answer in zip(AGREED, servers, nova.ask(servers), strict=True):
        assert ("xml" in answer[0]) == starts, (image, specs, answer[0])
        (tmp_path / "image.json").write_text(json.dumps({"id": "i", "name": "n", "properties": server[0]}))
        (tmp_path / "flavor.json").write_text(json.dumps({"vcpus": 2, "ram": 1024, "properties": specs}))
        done = cvmspawn(tmp_path, "measure", "--from-openstack=image.json", "--flavor=flavor.json", f"--ovmf={folder}/fw.fd", "--vcpu-sig=0xa00f11")
        assert (done.returncode == 0) == starts, (image, specs, done.stderr, answer[0])
        if starts:
            xml, back = digests(folder, tmp_path, server, answer)
            assert xml == back, (image, specs)


def test_flavor_of_a_node_with_a_named_model(nova, folder):  # noqa: F811
    """Why the exported flavor asks for nothing: Nova looks at a flavor without its image where nodes have cpu_mode=custom, and refuses it."""
    server = exported(folder, [*LAUNCH, "--cpus=2"], WORDS)
    asking = {"hw:mem_encryption": "true", "hw:mem_encryption_model": "amd-sev-snp"}
    properties, flavor, cpu, more = server
    (mine, _), (theirs, _) = nova.ask([server, (properties, flavor | {"properties": asking}, cpu, more)])
    assert flavor["properties"] == {} and "xml" in mine
    assert "doesn't have the 'hw_firmware_type' property set to 'uefi'" in theirs.get("refused", "")
