# SPDX-License-Identifier: LGPL-2.1-or-later
"""forecast: every fact of its table against what measure computes for the changed launch, at both ends of its range; firmware images by their hashes."""

import hashlib
import json
import os
import platform
import shutil
import subprocess

import pytest
from snp_world import BUILD, expect, run
from test_refs import build, launch, world  # noqa: F401


QEMU = "--qemu=10.0.2"  # not that of the machine


def forecast(against, *options, status):
    if not any(o.startswith(("--qemu", "--host-caps")) for o in options):
        options = (*options, QEMU)
    return json.loads(expect(run("forecast", f"--against={against}", *options, "--json"), status).stdout)


def digest(world, mode, *options):  # noqa: F811
    return expect(run("measure", *launch(world, mode, "1", "EPYC-v4")[1:], *options), 0).stdout.strip()


OLD, SWAP = "--vmsa=qemu-pre-6.10", "--es-features=0x20"
SWAPPED = (OLD, SWAP)
# mode, profile, kernel, options of measure that give the new digest, or None: nothing changes
CASES = [
    ("snp", "qemu", "6.10.0", None), ("snp", "qemu", "6.18.44-fc-v669", None), ("snp", "qemu", "7.1", None), ("snp", "qemu", "6.9.12", ["--vmsa=qemu-pre-6.10"]),
    ("snp", "qemu-pre-6.10", "6.9", None), ("snp", "qemu-pre-6.10", "6.10", ["--vmsa=qemu"]), ("snp", "qemu-pre-6.10", "6.6.1", None),
    ("seves", "qemu", "6.12.43+deb13-amd64", None), ("seves", "qemu", "5.15.0-91-generic", ["--vmsa=qemu-pre-6.10"]),
    ("seves", "qemu-pre-6.10", "6.5.13", None), ("seves", "qemu-pre-6.10", "6.6.0", SWAPPED),
    ("seves", "qemu-pre-6.10", "6.6.23", SWAPPED), ("seves", "qemu-pre-6.10", "6.6.24", None),
    ("seves", "qemu-pre-6.10", "6.7.11", SWAPPED), ("seves", "qemu-pre-6.10", "6.7.12", None),
    ("seves", "qemu-pre-6.10", "6.8.0", None), ("snp", "ec2", "6.8.0", None),
    # KVM_SEV_ES_INIT is what it was on later kernels, too.
    ("seves", "qemu-pre-6.10", "6.10", None), ("seves", "qemu-pre-6.10", "6.18.1", None),
    # Two facts at once.
    ("seves", "qemu", "6.6.1", [OLD, SWAP]),
]


@pytest.mark.parametrize("mode, profile, kernel, then", CASES)
def test_kernels(world, mode, profile, kernel, then):  # noqa: F811
    against = build(world, f"forecast-{mode}-{profile}.json", words=[*launch(world, mode, "1-3", "EPYC-v4"), f"--vmsa={profile}"])
    found = forecast(against, f"--kernel={kernel}", status=3 if then else 0)["changes"]
    assert len(found) == (len(then) if isinstance(then, list) else bool(then))
    for change in found:
        assert change["then"] == found[0]["then"]
    if then:
        assert found[0]["cause"] == "kernel" and found[0]["rows"] == 3 and found[0]["source"]
        assert (found[0]["now"], found[0]["then"]) == (digest(world, mode, f"--vmsa={profile}"), digest(world, mode, *then))


@pytest.mark.parametrize("kernel, stays", [("6.6.5", True), ("6.7.1", True), ("6.5.13", False), ("6.6.24", False), ("6.7.12", False), ("6.9.12", False),
                                           ("6.10", False), ("6.18.44", False)])
def test_swapped_debug_registers(world, kernel, stays):  # noqa: F811
    against = build(world, "swap.json", words=[*launch(world, "seves", "1", "EPYC-v4"), OLD, SWAP])
    found = forecast(against, f"--kernel={kernel}", status=0 if stays else 3)["changes"]
    assert [c["then"] for c in found] == ([] if stays else [digest(world, "seves", OLD)])


def test_snp_of_before_6_10_loses_swapped_registers(world):  # noqa: F811
    """As AMD's trees of that time had them."""
    against = build(world, "snp-swap.json", words=[*launch(world, "snp", "1", "EPYC-v4"), OLD, "--guest-features=0x21"])
    (change,) = forecast(against, "--kernel=6.11", status=3)["changes"]
    assert change["then"] == digest(world, "snp")


@pytest.mark.parametrize("qemu, changes", [("9.1", False), ("10.0.2", False), ("1.5.3", True), ("8.2.2+ds-0ubuntu1", True), ("9.0.92", True)])
def test_qemu(world, qemu, changes):  # noqa: F811
    options = ["--kernel=6.12", f"--qemu={qemu}"]
    es = forecast(build(world, "qemu-es.json", words=launch(world, "seves", "1", "EPYC-v4")), *options, status=3 if changes else 0)["changes"]
    assert [(c["cause"], c["then"], c["refused"]) for c in es] == ([("qemu", digest(world, "seves", OLD), False)] if changes else [])
    snp = build(world, "qemu-snp.json", words=launch(world, "snp", "1", "EPYC-v4"))
    assert [(c["cause"], c["then"], c["refused"]) for c in forecast(snp, *options, status=3 if changes else 0)["changes"]] == (
        [("qemu", None, True)] if changes else [])
    if changes:
        expect(run("forecast", f"--against={snp}", *options), 3, "-> not started")
    assert forecast(build(world, "qemu-old.json", words=[*launch(world, "seves", "1", "EPYC-v4"), OLD]), *options, status=0)["changes"] == []


def test_launches_without_a_family(world):  # noqa: F811
    rows = build(world, "no-family.json", "--family-vcpus=0", words=launch(world, "snp", "1-2", "EPYC-v4"))
    assert forecast(rows, "--kernel=6.1", status=3)["changes"][0]["then"] is None
    expect(run("forecast", f"--against={rows}", "--kernel=6.1"), 3, "2 rows", "known when it is measured", "Linux 6.1: digests change")
    assert forecast(build(world, "plain-sev.json", words=launch(world, "sev")), "--kernel=6.1", status=0)["changes"] == []


def test_firmware(world, tmp_path):  # noqa: F811
    firmware = sorted(world.glob("*.fd"))[0]
    other = tmp_path / "other.fd"
    other.write_bytes(bytes([firmware.read_bytes()[0] ^ 1]) + firmware.read_bytes()[1:])
    words = [other if w == firmware else w for w in launch(world)]
    both = build(world, "two-firmware.json", words=[build(world, "one-firmware.json"), build(world, "other-firmware.json", words=words)])
    kernel = "--kernel=6.12"
    assert forecast(both, kernel, f"--firmware={firmware}", status=0)["changes"] == []
    for mode in ("snp", "seves", "sev"):
        against = build(world, f"{mode}-firmware.json", "--family-vcpus=0", words=launch(world, mode, "1-3", "EPYC-v4"))
        then = expect(run("measure", *[other if w == firmware else w for w in launch(world, mode, "1", "EPYC-v4")[1:]]), 0).stdout.strip()
        (change,) = forecast(against, kernel, f"--firmware={other}", status=3)["changes"]
        assert change["cause"] == "firmware" and change["then"] == then
    newer = tmp_path / "new" / other.name
    newer.parent.mkdir()
    newer.write_bytes(other.read_bytes()[:-1] + b"x")
    changes = forecast(both, kernel, f"--firmware={newer}", status=3)["changes"]
    assert [c["cause"] for c in changes] == ["firmware"] and "other.fd" in changes[0]["launch"]
    named_otherwise = tmp_path / "OVMF.fd"
    named_otherwise.write_bytes(newer.read_bytes())
    assert len(forecast(both, kernel, f"--firmware={named_otherwise}", status=3)["changes"]) == 2


def test_a_file_that_is_no_firmware(world, tmp_path):  # noqa: F811
    """Zeros would be foretold as the firmware that changes it all."""
    (tmp_path / "zeros").write_bytes(bytes(4 << 20))
    done = run("forecast", f"--against={build(world, 'zeros.json', words=launch(world, 'snp', '1', 'EPYC-v4'))}", "--kernel=6.12", f"--firmware={tmp_path}/zeros")
    assert expect(done, 1, f"--firmware: '{tmp_path}/zeros': no OVMF table at the end of the file").stdout == ""


@pytest.mark.parametrize("option", ["against", "kernel", "qemu", "firmware", "host-caps"])
def test_no_option_replaces_an_earlier_one(world, option):  # noqa: F811
    against = [f"--against={build(world, 'once.json')}"] if option != "against" else []
    done = expect(run("forecast", *against, f"--{option}=/a", f"--{option}=/b"), 1, f"--{option}: given twice")
    assert done.stdout == ""


def test_hosts(world, tmp_path):  # noqa: F811
    against = build(world, "hosts.json")
    major, minor = map(int, platform.release().split(".")[:2])
    expect(run("forecast", f"--against={against}", QEMU), 0 if (major, minor) >= (6, 10) else 3, platform.release())
    for text, status in (("Linux 6.12.43", 0), ("Linux 6.8.0-31-generic: before 6.11", 3)):
        (tmp_path / "host").write_text(json.dumps({"checks": [{"subject": "CPU", "text": "Linux"}, {"subject": "kernel", "text": text}]}))
        expect(run("forecast", f"--against={against}", f"--host-caps={tmp_path}/host"), status)
    (tmp_path / "host").write_text(run("check-host", "--json").stdout)
    answer = json.loads(run("forecast", f"--against={against}", f"--host-caps={tmp_path}/host", "--json").stdout)
    assert answer["kernel"] == platform.release()
    (tmp_path / "host").write_text("{}")
    expect(run("forecast", f"--against={against}", f"--host-caps={tmp_path}/host"), 1, "names no kernel")
    for bad in ("", "6", "six.ten", "6.x", "6.10.", "6.10/", "-6.10", "99999999999.1"):
        expect(run("forecast", f"--against={against}", f"--kernel={bad}"), 1, "is not a kernel release")
    for bad in ("", "ten", "10."):
        expect(run("forecast", f"--against={against}", f"--qemu={bad}"), 1, "is not a version of QEMU")
    (tmp_path / "host").write_text(json.dumps({"checks": [{"subject": "QEMU", "text": "version 7.2.5 without sev-snp-guest"},
                                                          {"subject": "kernel", "text": "Linux 6.12.43"}]}))
    assert [c["cause"] for c in forecast(against, f"--host-caps={tmp_path}/host", status=3)["changes"]] == ["qemu"]
    expect(run("forecast"), 1, "--against=")
    expect(run("forecast", f"--against={world}/kernel"), 1, "JSON")


# --- apt ---------------------------------------------------------------------------------------------------------------


class Archive:
    """A small archive of packages and a private apt state, for the real apt: nothing of the machine's is read or changed."""

    def __init__(self, folder):
        self.folder, self.packages = folder, []
        for name in ("archive", "state/lists/partial", "cache/archives/partial", "empty"):
            (folder / name).mkdir(parents=True)
        (folder / "status").write_text("")
        (folder / "sources").write_text(f"deb [trusted=yes] copy:{folder}/archive ./\n")
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}/state"; Dir::State::Status "{folder}/status"; Dir::Cache "{folder}/cache"; Dir::Etc::SourceList "{folder}/sources";\n'
            f'Dir::Etc::SourceParts "{folder}/empty"; Dir::Etc::Parts "{folder}/empty"; Dir::Etc::Preferences "{folder}/none";\n'
            f'Dir::Etc::PreferencesParts "{folder}/empty"; APT::Sandbox::User "root"; Acquire::Languages "none"; APT::Architecture "amd64";\n')
        self.env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "TMPDIR": str(folder / "tmp")}
        (folder / "tmp").mkdir()

    def install(self, name, version):
        with open(self.folder / "status", "a", encoding="ascii") as f:
            f.write(f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: x\nVersion: {version}\nDescription: x\n\n")

    def publish(self, name, version, files=()):
        tree = self.folder / f"tree-{name}"
        (tree / "DEBIAN").mkdir(parents=True)
        for path, data in files:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        control = f"Package: {name}\nArchitecture: amd64\nMaintainer: x\nVersion: {version}\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(control)
        deb = self.folder / f"archive/{name}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True, capture_output=True, timeout=60)
        self.packages.append(f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n")

    def update(self):
        (self.folder / "archive/Packages").write_text("\n".join(self.packages))
        subprocess.run(["apt-get", "-q", "update"], env=self.env, check=True, capture_output=True, timeout=60)

    def forecast(self, against, *options):
        done = subprocess.run([BUILD / "programs/cvmspawn", "forecast", f"--against={against}", "--upgrade", *options], env=self.env, capture_output=True,
                              text=True, timeout=60, check=False)
        assert list((self.folder / "tmp").iterdir()) == []
        return done


@pytest.fixture
def archive(tmp_path):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("apt-get or dpkg-deb is not installed: forecast --upgrade asks them")
    return Archive(tmp_path)


def test_upgrade(world, archive, tmp_path):  # noqa: F811
    firmware = sorted(world.glob("*.fd"))[0]
    newer = firmware.read_bytes()[:100] + b"x" + firmware.read_bytes()[101:]
    (tmp_path / firmware.name).write_bytes(newer)
    against = build(world, "upgrade.json", words=launch(world, "snp", "1-3", "EPYC-v4"))
    then = expect(run("measure", *[tmp_path / firmware.name if w == firmware else w for w in launch(world, "snp", "1", "EPYC-v4")[1:]]), 0).stdout.strip()
    for name, version in (("ovmf-amdsev", "2026.05-1"), ("qemu-system-x86", "1:10.0.2+ds-2"), ("linux-image-amd64", "6.12.43-1"), ("cvmspawn", "0.1.0-1")):
        archive.install(name, version)
    archive.publish("ovmf-amdsev", "2026.08-1", [(f"usr/share/ovmf/{firmware.name}", newer), ("usr/share/ovmf/OTHER.fd", b"x")])
    archive.publish("qemu-system-x86", "1:11.1.3+ds-1")
    archive.publish("linux-image-amd64", "6.18.5-1")
    archive.publish("cvmspawn", "0.2.0-1")
    archive.update()
    answer = json.loads(expect(archive.forecast(against, "--json"), 3).stdout)
    assert [(c["cause"], c["rows"], c["then"]) for c in answer["changes"]] == [("firmware", 3, then)]
    assert (answer["kernel"], answer["qemu"]) == ("6.18.5-1", "11.1.3+ds-1")
    assert [(p["package"], p["installed"], p["candidate"], p["rows"]) for p in answer["packages"] if p["installed"]] == [
        ("ovmf-amdsev", "2026.05-1", "2026.08-1", 3), ("qemu-system-x86", "1:10.0.2+ds-2", "1:11.1.3+ds-1", 0),
        ("linux-image-amd64", "6.12.43-1", "6.18.5-1", 0), ("cvmspawn", "0.1.0-1", "0.2.0-1", 0)]
    expect(archive.forecast(against), 3, "PACKAGE", "2026.08-1", "no known change", "not installed", f"firmware {firmware.name}: digests change")
    assert "install ok" in (archive.folder / "status").read_text() and "2026.08" not in (archive.folder / "status").read_text()


def test_upgrade_that_changes_nothing(world, archive):  # noqa: F811
    firmware = sorted(world.glob("*.fd"))[0]
    against = build(world, "upgrade.json", words=launch(world, "snp", "1-3", "EPYC-v4"))
    archive.install("ovmf", "1")
    archive.publish("ovmf", "2", [(f"usr/share/OVMF/{firmware.name}", firmware.read_bytes())])
    archive.install("linux-image-amd64", "6.12.43-1")
    archive.publish("linux-image-amd64", "6.12.48-1")
    archive.update()
    expect(archive.forecast(against), 0, "no known digest changes")


def test_upgrade_to_what_has_no_version(world, archive):  # noqa: F811
    against = build(world, "upgrade-es.json", words=launch(world, "seves", "1-3", "EPYC-v4"))
    for name, old, new in (("qemu-system-x86", "1:10.0.2", "1:10.0.2.really.8.2.2"), ("linux-image-amd64", "6.12.43-1", "6.12.really6.6.1")):
        archive.install(name, old)
        archive.publish(name, new)
    archive.update()
    done = archive.forecast(against)
    expect(done, 1, "--upgrade: linux-image-amd64: '6.12.really6.6.1' is not a kernel release")


def test_upgrade_that_cannot_be_looked_at(world, archive, tmp_path):  # noqa: F811
    firmware = sorted(world.glob("*.fd"))[0]
    against = build(world, "upgrade.json", words=launch(world, "snp", "1-3", "EPYC-v4"))
    archive.install("ovmf", "1")
    archive.publish("ovmf", "2", [(f"usr/share/ovmf/{firmware.name}", b"x" * 4095)])
    archive.update()
    assert expect(archive.forecast(against), 1, "--upgrade", "a multiple of 4096 bytes").stdout == ""
    (archive.folder / "archive/ovmf.deb").unlink()
    assert expect(archive.forecast(against), 1, "--upgrade: apt-get failed: ").stdout == ""
    archive.env["PATH"] = str(tmp_path / "empty")
    assert expect(archive.forecast(against), 1, "apt-cache is not installed").stdout == ""
    for option in ("--kernel=6.12", "--qemu=10.0", f"--firmware={firmware}", f"--host-caps={firmware}"):
        expect(archive.forecast(against, option), 1, "--upgrade")
