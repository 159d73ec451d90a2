# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn export`: what another launcher is given measures as the launch itself, and what it cannot express is refused."""

import subprocess
import xml.etree.ElementTree

import export_launches
import pytest
import tdx_model
from export_launches import LAUNCHES, TD_LAUNCHES
from sevsim_host import build_folder, find_qemu, skip_or_fail

PROGRAMS = build_folder() / "programs"
SECONDS = 120
LAUNCH = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("export")
    export_launches.make_files(path)
    return path


def call(folder, verb, *args, stdin=None):
    return subprocess.run([PROGRAMS / f"verb-{verb}", *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=SECONDS,
                          check=False)


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(folder, target, launch, out, *options):
    words, tail = launch
    return ok(call(folder, "export", target, *options, f"--output={out}", *words, "--", *tail))


def back(folder, target, text):
    """The digest of what was exported."""
    if target == "qemu":
        (folder / "script").write_text(text)
        return ok(call(folder, "measure", "--from-qemu=script")).strip()
    return ok(call(folder, "measure", f"--from-{target}=-", stdin=text)).strip()


def measured(folder, launch):
    words, tail = launch
    return ok(call(folder, "measure", *words, "--", *tail)).strip()


def test_there_are_a_hundred():
    assert len({export_launches.name(launch) for launch in LAUNCHES}) >= 100


@pytest.mark.parametrize("target", ["libvirt", "qemu"])
@pytest.mark.parametrize("launches", [LAUNCHES[::12], pytest.param(LAUNCHES, marks=pytest.mark.full)], ids=["some", "all"])
def test_round_trip(folder, tmp_path, target, launches):
    """options -> export -> measure = measure of the options."""
    for i, launch in enumerate(launches):
        assert back(folder, target, exported(folder, target, launch, tmp_path / str(i))) == measured(folder, launch), launch


@pytest.fixture(scope="module")
def td_folder(tmp_path_factory):
    """With a kernel that the firmware of a TD can load."""
    path = tmp_path_factory.mktemp("td")
    export_launches.make_files(path)
    (path / "kernel").write_bytes(tdx_model.make_kernel())
    return path


def test_td_round_trip(td_folder, tmp_path):
    """The digest covers the firmware alone: that the rest comes back is asked of the registers beside it."""
    for i, launch in enumerate(TD_LAUNCHES):
        assert back(td_folder, "libvirt", exported(td_folder, "libvirt", launch, tmp_path / str(i))) == measured(td_folder, launch), launch
    asked, registers = "--edk2=202608-inteltdx", set()
    for i, launch in enumerate(TD_LAUNCHES[:3]):
        words, tail = launch
        text = exported(td_folder, "libvirt", launch, tmp_path / f"r{i}")
        found = ok(call(td_folder, "measure", "--from-libvirt=-", asked, stdin=text))
        assert found == ok(call(td_folder, "measure", *words, asked, "--", *tail)) and "rtmr2" in found, found
        registers.add(found)
    assert len(registers) == 3


def test_td_elements(folder, tmp_path):
    value = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v"
    td = lambda launch: xml.etree.ElementTree.fromstring(exported(folder, "libvirt", launch, tmp_path)).find("launchSecurity")  # noqa: E731
    security = td(TD_LAUNCHES[3])
    assert security.attrib == {"type": "tdx"}
    assert [(e.tag, e.text) for e in security][:4] == [("policy", "0x10000000"), ("mrConfigId", value), ("mrOwner", value), ("mrOwnerConfig", value)]
    assert security.find("quoteGenerationService").attrib == {"path": "/var/run/tdx-qgs/qgs.socket"}
    assert td(TD_LAUNCHES[4]).find("quoteGenerationService") is None
    assert td(TD_LAUNCHES[5]).find("quoteGenerationService").attrib == {"path": "/run/a&b.socket"}


@pytest.mark.parametrize("target, change, message", [
    ("qemu", [], "--coco=tdx cannot be exported to qemu yet, only to libvirt"),
    ("openstack", [], "--coco=tdx cannot be exported to openstack yet, only to libvirt"),
    ("libvirt", ["--libvirt-version=11.3"], "TDX needs libvirt 11.6 or later"),
    ("libvirt", ["--quote-socket=vsock:2:4050"], "--quote-socket=vsock:2:4050 cannot be exported to libvirt"),
    ("libvirt", ["--coco-policy=pks"], "libvirt takes the bits 0 (debug) and 28 (sept-ve-disable)"),
    ("libvirt", ["--edk2=202608-inteltdx"], "--edk2 cannot be exported to libvirt"),
])
def test_td_refusals(folder, target, change, message):
    done = call(folder, "export", target, *TD_LAUNCHES[0][0], *change)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_a_digest_depends_on_each_part(folder, tmp_path):
    """A reader that dropped something would find one digest twice."""
    changes = [[], ["--cpus=2"], ["--cpu=EPYC-Rome"], ["--set-credential=a:b"], ["--initrd=second"], ["--exact-words"]]
    digests = [back(folder, "libvirt", exported(folder, "libvirt", ([*LAUNCH, *change], ["quiet"]), tmp_path / str(i)))
               for i, change in enumerate(changes)]
    assert len(set(digests)) == len(changes)


def test_libvirt_says_all_of_the_launch(folder, tmp_path):
    data = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    text = exported(folder, "libvirt", ([*LAUNCH, "--cpus=3", "--ram=3G", f"--host-data={data}", "--vcek=no"], ["a<&>'\" b"]), tmp_path)
    domain = xml.etree.ElementTree.fromstring(text)
    find = lambda path: domain.find(path).text  # noqa: E731
    assert (find("memory"), find("vcpu"), find("os/cmdline")) == (str(3 << 20), "3", "console=ttyS0 a<&>'\" b")
    assert (find("os/loader"), find("os/kernel"), find("os/initrd")) == tuple(str(folder / n) for n in ("fw.fd", "kernel", "initrd"))
    assert domain.find("os/loader").attrib == {"readonly": "yes", "type": "rom", "stateless": "yes"} and domain.find("os/nvram") is None
    assert domain.find("cpu").get("mode") == "custom" and domain.find("cpu/model").attrib == {"fallback": "forbid"}
    security = domain.find("launchSecurity")
    assert security.attrib == {"type": "sev-snp", "kernelHashes": "yes", "authorKey": "no", "vcek": "no"}
    assert find("launchSecurity/policy") == "0x00030000" and find("launchSecurity/hostData") == data
    assert domain.find("features/smm").get("state") == "off" and find("on_reboot") == "destroy"
    assert not list(tmp_path.iterdir())


def test_parts_become_files(folder, tmp_path):
    launch = ["--coco=sev-snp", "--firmware=fw.fd", "--linux=uki.efi", "--set-credential=foo:bar"]
    done = call(folder, "export", "libvirt", *launch)
    assert done.returncode == 1 and done.stdout == "" and "pass --output=DIR" in done.stderr
    exported(folder, "libvirt", (launch, []), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["initrd", "kernel"]
    assert (tmp_path / "out/kernel").read_bytes() == (folder / "kernel").read_bytes()
    done = call(folder, "export", "libvirt", *launch, f"--output={tmp_path / 'out'}")
    assert done.returncode == 1 and done.stdout == "" and "is not replaced" in done.stderr


def test_consent_is_a_warning(folder):
    launch = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--image=disk.raw"]
    done = call(folder, "export", "libvirt", *launch)
    assert done.returncode == 0 and "warning: --image:" in done.stderr and "--allow-untrusted=disk" in done.stderr
    assert call(folder, "export", "libvirt", *launch, "--allow-untrusted=disk").stdout == done.stdout


def test_the_kernel_is_described(folder, tmp_path):
    """Version, EFI stub and the driver for reports, by a configuration beside it; what is too old for an SNP guest is named."""
    for version, stub, option in (("6.9.3", b"MZ", "m"), ("5.18.0", b"\0\0", "n")):
        kernel = bytearray((folder / "kernel").read_bytes().ljust(8192, b"\0"))
        kernel[0:2] = stub
        kernel[0x20e:0x210] = (0x1000 - 0x200).to_bytes(2, "little")
        kernel[0x1000:0x1000 + len(version) + 5] = version.encode() + b" (x)\0"
        path = tmp_path / f"kernel-{version}"
        path.write_bytes(kernel)
        (tmp_path / f"config-{version}").write_text(f"CONFIG_SEV_GUEST={option}\n")
        done = call(folder, "export", "libvirt", *LAUNCH[:-2], f"--linux={path}", "--initrd=initrd")
        assert done.returncode == 0, done.stderr
        assert f"Linux {version}, {'with' if stub == b'MZ' else 'without'} an EFI stub, CONFIG_SEV_GUEST={option}" in done.stderr
        assert ("an SEV-SNP guest needs Linux 5.19 or later" in done.stderr) == (version == "5.18.0")
        assert ("built without CONFIG_SEV_GUEST" in done.stderr) == (option == "n")
    # Another technology does not need it.
    done = call(folder, "export", "libvirt", "--coco=sev", *LAUNCH[1:-2], f"--linux={path}", "--initrd=initrd")
    assert "5.19" not in done.stderr


def test_what_fails_leaves_no_files(folder, tmp_path):
    """Output that is lost, and a launch that the target refuses after its files were written: a retry finds an empty folder."""
    launch = ["--coco=sev-snp", "--cpu=EPYC-Milan", "--firmware=fw.fd", "--linux=kernel", "--initrd=initrd", "--initrd=second"]
    out = tmp_path / "out"
    argv = [PROGRAMS / "verb-export", "libvirt", *launch, f"--output={out}"]
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(argv, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "cannot write to standard output: No space left" in done.stderr and not out.exists()
    done = call(folder, "export", "libvirt", *launch, f"--output={out}", "--libvirt-version=9.0")
    assert done.returncode == 1 and done.stdout == "" and not out.exists()
    out.mkdir()
    (out / "initrd").write_text("mine")
    done = call(folder, "export", "libvirt", *launch, f"--output={out}")
    assert done.returncode == 1 and "exists and is not replaced" in done.stderr and (out / "initrd").read_text() == "mine"
    (out / "initrd").unlink()
    ok(call(folder, "export", "libvirt", *launch, f"--output={out}"))
    assert [p.name for p in out.iterdir()] == ["initrd"]


@pytest.mark.parametrize("target, change, message", [
    ("libvirt", ["--coco=sev-es"], "add --sev-vm-type=legacy"),
    ("libvirt", ["--libvirt-version=9.0"], "SEV-SNP needs libvirt 10.5 or later"),
    ("libvirt", ["--libvirt-version=new"], "expected a version such as 11.3"),
    ("libvirt", ["--coco=no"], "--cpu= requires --coco="),
    ("libvirt", ["--simulate"], "--simulate cannot be exported"),
    ("libvirt", ["--run=true"], "--run cannot be exported to libvirt"),
    ("libvirt", ["--bind=/usr"], "--bind cannot be exported to libvirt"),
    ("libvirt", ["--qemu-arg", "-S"], "--qemu-arg cannot be exported to libvirt"),
    ("libvirt", ["-s", "text"], "--smbios11 cannot be exported to libvirt"),
    ("libvirt", ["--tpm", "yes"], "--tpm cannot be exported to libvirt"),
    ("libvirt", ["--network=tap"], "--network=tap cannot be exported"),
    ("qemu", ["--dh-cert=x"], "--dh-cert cannot be exported to qemu"),
    ("qemu", ["--linux=none"], "cannot open 'none'"),
    ("libvirt", ["--ssh-key-typ=x"], "unknown option '--ssh-key-typ'"),
    ("virtualbox", [], "or qemu, not 'virtualbox'"),
])
def test_refusals(folder, target, change, message):
    done = call(folder, "export", target, *LAUNCH, *change)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr


def test_words_that_no_xml_can_hold(folder):
    done = call(folder, "export", "libvirt", *LAUNCH, "--", "a\x01b")
    assert done.returncode == 1 and done.stdout == "" and "control character 0x01" in done.stderr


def test_the_script_launches_the_same(folder, tmp_path):
    """The exported script under a real QEMU on the simulated host."""
    qemu = find_qemu()
    if not qemu or not (build_folder() / "sevsim/sevsim.so").exists():
        skip_or_fail("no QEMU of version 9.1 or later here: set CVMSPAWN_QEMU to its program")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qemu-system-x86_64").symlink_to(qemu)
    launch = ([*LAUNCH, "--cpus=2", "--ram=256M"], ["it's", "quiet"])
    (tmp_path / "script").write_text(exported(folder, "qemu", launch, tmp_path))
    done = subprocess.run([PROGRAMS / "verb-sevsim", f"--expect-digest={measured(folder, launch)}", "--sev-node=0666", "--", "env",
                           f"PATH={tmp_path / 'bin'}:/usr/bin:/bin", "sh", tmp_path / "script"], capture_output=True, text=True,
                          timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
