# SPDX-License-Identifier: LGPL-2.1-or-later
"""RTMR0 to RTMR2 of a direct boot against an independent reading, event by event; event logs replayed, compared and refused; and the logs of
real machines and of firmware as a TD under TCG, where they are."""

import hashlib
import json
import os
import pathlib
import struct
import subprocess

import pytest
import tdx_model as model

BUILD = pathlib.Path(os.environ.get("CVMSPAWN_BUILD", "b")).resolve()
SHARED = pathlib.Path(os.environ["CVMSPAWN_SHARED"], "testdata/tdx") if os.environ.get("CVMSPAWN_SHARED") else None
BIOS = "Some vendor,1.0,01/02/2026"
RAM = 2048


def sha(data):
    return hashlib.sha384(data).digest()


def measure(*arguments):
    return subprocess.run([BUILD / "programs/verb-measure", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


# --- the boot, and what it measures ---------------------------------------------------------------------------------------------------------

def structure(kind, body, *strings):
    data = struct.pack("<BBH", kind, 4 + len(body), kind) + body
    return data + (b"".join(s + b"\0" for s in strings) or b"\0") + b"\0"


# Serial number, UUID and wake-up type are not measured.
FILTERED = structure(1, bytes([1, 2, 3, 0]) + bytes(16) + bytes([0, 5, 0]), b"QEMU", b"PC", b"v", b"      ", b"sku")


def own_bios():
    fixed = bytes([0, 26, 0, 0, 1, 2, 0, 0xE8, 3, 0, 8] + [0] * 8 + [0x1C, 0, 0, 0xFF, 0xFF, 0, 0])
    return fixed + b"".join(word.encode() + b"\0" for word in BIOS.split(",")) + b"\0"


def utf16(text):
    return text.encode("utf-16-le")


X509, SHA256 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072", "c1c41626-504c-4092-aca9-41f936934328"
CERTIFICATE = bytes(range(16)) + b"\x30\x82" * 100  # its owner comes first


def signatures(kind, *entries, head=b""):
    """EFI_SIGNATURE_LIST, UEFI 2.10, 32.4.1"""
    body = head + b"".join(entries)
    return model.guid(kind) + struct.pack("<III", 28 + len(body), len(head), len(entries[0]) if entries else 17) + body


class Boot:
    """All inputs in a folder, and the events that edk2 of a release logs for them: (register, type, data, digest)."""

    def __init__(self, folder, keys=None):
        self.folder, self.keys = folder, keys or {}
        self.words, self.initrd = "console=ttyS0 quiet", os.urandom(1000)
        self.kernel, self.authenticode = model.make_pe()
        self.firmware = model.make_tdvf(seed=4, variables=self.keys)
        loader = b"".join(struct.pack("<I56sIB", 1, name, 16, 1).ljust(128, b"\0")
                          for name in (b"etc/acpi/rsdp", b"etc/acpi/tables", b"etc/tpm/log")) + bytes(128)
        self.items = {"etc/table-loader": loader, "etc/acpi/rsdp": b"RSD PTR ", "etc/acpi/tables": os.urandom(4096), "etc/tpm/log": b"log",
                      "etc/smbios/smbios-tables": structure(1, bytes([1, 2, 3, 4]) + bytes(range(16)) + bytes([6, 5, 0]), b"QEMU", b"PC", b"v",
                                                            b"serial", b"sku") + structure(11, b"\x01", b"text") + structure(127, b"")}
        self.smbios = FILTERED + struct.pack("<BBH", 11, 5, 11) + bytes(1 + len(b"text\0\0"))
        for name, data in (("tdvf.fd", self.firmware), ("kernel", self.kernel), ("initrd", self.initrd)):
            (folder / name).write_bytes(data)
        self.write_items()

    def write_items(self):
        for name, data in self.items.items():
            path = self.folder / "fw_cfg" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def options(self, profile, ram=RAM, **changed):
        values = {"mode": "tdx", "ovmf": self.folder / "tdvf.fd", "memory": f"{ram}M", "edk2": profile, "fw-cfg": self.folder / "fw_cfg",
                  "bios": BIOS, "kernel": self.folder / "kernel", "initrd": self.folder / "initrd", "append": self.words, **changed}
        return [f"--{name}={value}" for name, value in values.items() if value is not None]

    def events(self, edk2, ram=RAM):
        release, build = int(edk2[:6]), edk2[7:]
        data = {0: [], 1: [], 2: []}

        def add(rtmr, kind, what, digest=None, shown=b""):
            data[rtmr].append((kind, shown, digest or sha(what)))

        cfv = self.firmware[:model.VARIABLES]
        add(0, 0x8000000B, model.td_hob(self.firmware, ram << 20)[:-8])
        add(0, 0x8000000A, cfv)
        if release >= 202505:
            add(0, 0xA, bytes(2), shown=b"QEMU FW CFG\0BootMenu".ljust(68, b"\0"))
            add(0, 0xA, b"/rom@genroms/linuxboot_dma.bin\0", shown=b"QEMU FW CFG\0bootorder".ljust(68, b"\0"))
        secure = bytes([int("PK" in self.keys)]) if build == "inteltdx" else b""
        for name, value in [("SecureBoot", secure)] + [(n, self.keys.get(n, b"")) for n in ("PK", "KEK", "db", "dbx")]:
            vendor = model.guid("d719b2cb-3d3a-4596-a3bc-dad00e67656f" if name.startswith("d") else "8be4df61-93ca-11d2-aa0d-00e098032b8c")
            what = vendor + struct.pack("<QQ", len(name), len(value)) + utf16(name) + value
            add(0, 0x80000001, what, shown=what)
        add(0, 4, bytes(4), shown=bytes(4))
        for name in ("etc/table-loader", "etc/acpi/rsdp", "etc/acpi/tables", "etc/tpm/log"):
            add(0, 0xA, self.items[name], shown=b"ACPI DATA")
        if "PK" in self.keys:  # with one certificate in db
            what = model.guid("d719b2cb-3d3a-4596-a3bc-dad00e67656f") + struct.pack("<QQ", 2, len(CERTIFICATE)) + utf16("db") + CERTIFICATE
            add(0, 0x800000E0, what, shown=what)
        if release >= 202505:
            add(0, 0x80000009, self.smbios + own_bios() + bytes([127, 4, 0xFF, 0xFE, 0, 0]))
        two = release >= 202505 and build == "ovmfx64"
        add(0, 0x80000002, bytes([0, 0, 1, 0][:4 if two else 2]))

        def application(attributes, text, file):
            return (struct.pack("<IH", attributes, 44) + utf16(text + "\0") + b"\x04\x07\x14\0"
                    + model.guid("7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1") + b"\x04\x06\x14\0" + model.guid(file) + b"\x7f\xff\x04\0")
        ui = "462caa21-7614-4503-836e-8ab6f4662331"
        add(0, 0x80000002, application(0x109, "BootManagerMenuApp", "eec25bdc-67f2-4d95-b1d5-f81b2039d11d") if release >= 202505
            else application(0x109, "UiApp", ui))
        if two:
            add(0, 0x80000002, application(0x101, "EFI Firmware Setup", ui))
        add(1, 0x80000003, None, self.authenticode)
        for text in ("Calling EFI Application from Boot Option", None, "Exit Boot Services Invocation", "Exit Boot Services Returned with Success"):
            what = text.encode() if text else bytes(4)
            if text or release >= 202411:
                add(1, 0x80000007 if text else 4, what, shown=what)
        words = f"initrd=initrd {self.words}" if release >= 202508 else f"{self.words} initrd=initrd"
        add(2, 6, utf16(words + "\0"), shown=struct.pack("<II", 0x8F3B22ED, 26) + b"LOADED_IMAGE::LoadOptions\0")
        add(2, 6, self.initrd, shown=struct.pack("<II", 0x8F3B22EC, 13) + b"Linux initrd\0")
        return data


def replay(digests):
    value = bytes(48)
    for digest in digests:
        value = sha(value + digest)
    return value.hex()


def make_log(events, end=b"\xff" * 64):
    spec = b"Spec ID Event03\0" + bytes([0, 0, 0, 0, 0, 2, 0, 2]) + struct.pack("<IHHB", 1, 12, 48, 0)
    log = struct.pack("<II20xI", 1, 3, len(spec)) + spec
    for rtmr, of in events.items():
        for kind, shown, digest in of:
            log += struct.pack("<IIIH", rtmr + 1, kind, 1, 12) + digest + struct.pack("<I", len(shown)) + shown
    return log + end


PROFILES = ["202502-ovmfx64", "202502-inteltdx", "202505-inteltdx", "202508-ovmfx64", "202608-inteltdx"]


@pytest.fixture(name="boot")
def fixture_boot(tmp_path):
    return Boot(tmp_path)


@pytest.mark.parametrize("edk2", PROFILES)
def test_prediction(boot, edk2):
    events = boot.events(edk2)
    done = measure(*boot.options(edk2))
    assert done.returncode == 0, done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines == {"mrtd": model.mrtd(boot.firmware), **{f"rtmr{n}": replay(e[2] for e in of) for n, of in events.items()}}
    explained = [line.split(None, 2) for line in measure(*boot.options(edk2), "--explain").stdout.splitlines()[:-4]]
    for n, of in events.items():
        assert [line[1] for line in explained if line[0] == f"rtmr{n}"] == [e[2].hex() for e in of]
    answer = json.loads(measure(*boot.options(edk2), "--json=short").stdout)
    assert answer["registers"] == lines
    assert [(e["rtmr"], e["type"], e["digest"]) for e in answer["events"]] == [(n, e[0], e[2].hex()) for n, of in events.items() for e in of]


@pytest.mark.parametrize("keys", [
    {"PK": b"key", "db": signatures(X509, CERTIFICATE)},
    {"PK": b"k" * 77, "KEK": b"kek", "db": signatures(SHA256) + signatures(X509, CERTIFICATE, head=b"head"), "dbx": b"x"},
])  # fmt: skip
def test_enrolled_keys(tmp_path, keys):
    """The certificate that the kernel's signature leads to is in RTMR0, too."""
    boot = Boot(tmp_path, keys)
    events = boot.events("202608-inteltdx")
    done = measure(*boot.options("202608-inteltdx"))
    assert f"rtmr0 {replay(e[2] for e in events[0])}" in done.stdout, done
    assert "key used from db" in measure(*boot.options("202608-inteltdx"), "--explain").stdout


@pytest.mark.parametrize("db,said", [
    (b"", "not with 0 keys and hashes"),
    (signatures(X509, CERTIFICATE, CERTIFICATE), "not with 2 keys and hashes"),
    (signatures(X509, CERTIFICATE) + signatures(SHA256, bytes(48)), "not with 2 keys and hashes"),
    (signatures(SHA256, bytes(48)), "not with 1 keys and hashes"),
    (signatures(X509, CERTIFICATE)[:-1], "db is not a list of signatures"),
    (signatures(X509, CERTIFICATE) + b"x", "db is not a list of signatures"),
    (model.guid(X509) + struct.pack("<III", 27, 0, 17), "db is not a list of signatures"),
    (model.guid(X509) + struct.pack("<III", 28 + 16, 0, 16) + bytes(16), "db is not a list of signatures"),
    (model.guid(X509) + struct.pack("<III", 28 + 20, 21, 20) + bytes(20), "db is not a list of signatures"),
    (model.guid(X509) + struct.pack("<III", 28 + 20, 0, 0) + bytes(20), "db is not a list of signatures"),
])  # fmt: skip
def test_keys_that_are_not_predicted(tmp_path, db, said):
    done = measure(*Boot(tmp_path, {"PK": b"key", "db": db}).options("202608-inteltdx"))
    assert done.returncode == 1 and said in done.stderr and not done.stdout, done


def test_without_initrd_and_words(boot):
    done = measure(*boot.options("202608-inteltdx", initrd=None, append=None))
    assert done.stdout.splitlines()[-1] == f"rtmr2 {bytes(48).hex()}"
    done = measure(*boot.options("202608-inteltdx", initrd=None))
    assert done.stdout.splitlines()[-1] == "rtmr2 " + replay([sha(utf16(boot.words + "\0"))])


def test_log_is_replayed_and_compared(boot, tmp_path):
    edk2 = "202608-inteltdx"
    events = boot.events(edk2)
    log = tmp_path / "ccel"
    log.write_bytes(make_log(events))
    done = measure(f"--from-ccel={log}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-4:] == [f"rtmr{n} {replay(e[2] for e in of)}" for n, of in events.items()] + [f"rtmr3 {bytes(48).hex()}"]
    names = [line.split(None, 2)[2] for line in lines[:-4]]
    for name in ("list of memory (TD HOB)", "firmware variables (CFV)", "fw_cfg BootMenu", "variable SecureBoot", "separator", "ACPI: table loader",
                 "ACPI: RSDP", "ACPI: tables", "ACPI: further blob", "SMBIOS tables", "kernel command line", "initrd",
                 "action: Exit Boot Services Invocation"):
        assert name in names
    done = measure(*boot.options(edk2), f"--from-ccel={log}")
    assert (done.returncode, done.stdout) == (0, "equal: all events of the log are as predicted\n"), done.stderr


@pytest.mark.parametrize("change,said", [
    (lambda b: b.__dict__.update(words="quiet init=/bin/sh"), "rtmr2, event 1: kernel command line"),
    (lambda b: b.__dict__.update(initrd=b"another"), "rtmr2, event 2: initrd"),
    (lambda b: b.items.update({"etc/acpi/tables": b"other tables"}), "rtmr0, event 13: ACPI: tables"),
    (lambda b: b.__dict__.update(authenticode=bytes(48)), "rtmr1, event 1: kernel or boot loader (PE)"),
])
def test_first_difference_is_named(boot, tmp_path, change, said):
    """A host that gives the guest something else than what was predicted."""
    edk2 = "202608-inteltdx"
    options = boot.options(edk2)
    change(boot)
    (tmp_path / "ccel").write_bytes(make_log(boot.events(edk2)))
    done = measure(*options, f"--from-ccel={tmp_path / 'ccel'}")
    assert done.returncode == 3 and done.stdout.splitlines()[0] == f"different: {said}"


def test_difference_is_explained(boot, tmp_path):
    log = tmp_path / "ccel"
    log.write_bytes(make_log(boot.events("202608-inteltdx", ram=4096)))
    done = measure(*boot.options("202608-inteltdx"), f"--from-ccel={log}")
    assert done.returncode == 3 and done.stdout.splitlines()[-1] == "that is what 4096 MiB of memory give instead of 2048: --memory=4096M"
    log.write_bytes(make_log(boot.events("202502-inteltdx")))
    done = measure(*boot.options("202608-inteltdx"), f"--from-ccel={log}")
    assert done.returncode == 3 and done.stdout.splitlines()[0] == "different: rtmr0, event 3: fw_cfg BootMenu"
    events = boot.events("202608-inteltdx")
    events[2] = events[2][:1]
    log.write_bytes(make_log(events))
    done = measure(*boot.options("202608-inteltdx"), f"--from-ccel={log}")
    assert done.returncode == 3 and "  logged:    no such event" in done.stdout


def test_expect(boot):
    options = boot.options("202608-inteltdx")
    events = boot.events("202608-inteltdx")
    for n, of in events.items():
        assert measure(*options, f"--expect=rtmr{n}:{replay(e[2] for e in of)}").returncode == 0
    assert measure(*options, f"--expect=mrtd:{model.mrtd(boot.firmware)}").returncode == 0
    other = replay(e[2] for e in boot.events("202608-inteltdx", ram=8192)[0])
    done = measure(*options, f"--expect=rtmr0:{other}")
    assert done.returncode == 3 and "--memory=8192M" in done.stdout
    older = replay(e[2] for e in boot.events("202502-inteltdx")[2])
    done = measure(*options, f"--expect=rtmr2:{older}")
    assert done.returncode == 3 and "--edk2=202" in done.stdout
    assert "expected mrtd:, rtmr0:" in measure(*options, f"--expect={'ab' * 48}").stderr


@pytest.mark.parametrize("changed,said", [
    ({"edk2": None}, "need --memory, --edk2, --fw-cfg and --kernel or --disk"), ({"fw-cfg": None}, "need --memory"), ({"memory": None}, "--memory"),
    ({"edk2": "2026-inteltdx"}, "expected a release of edk2"), ({"edk2": "202411-inteltdx"}, "as QEMU patched it"),
    ({"bios": None}, "--bios=VENDOR,VERSION,DATE"), ({"bios": "a,b"}, "expected VENDOR,VERSION,DATE"),
    ({"memory": "8M"}, "do not hold the firmware's section"), ({"memory": "x"}, "expected a size"), ({"kernel": "/dev/null"}, "not a PE image"),
    ({"fw-cfg": "/nowhere"}, "'/nowhere/etc/table-loader' is missing"), ({"vcpus": 2}, "--vcpus has no meaning with --mode=tdx"),
])
def test_refused(boot, changed, said):
    done = measure(*boot.options("202608-inteltdx", **changed))
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""


def test_other_applications_are_refused(boot):
    """What they measure is not predicted: no registers rather than wrong ones."""
    image = bytearray(boot.kernel)
    image[0x202:0x206] = bytes(4)
    (boot.folder / "application").write_bytes(image)
    done = measure(*boot.options("202608-inteltdx", kernel=boot.folder / "application"))
    assert done.returncode == 1 and "has no setup header of Linux, and is not a unified kernel image" in done.stderr and done.stdout == ""


def test_command_lines_that_import_are_named(boot):
    said = "a host can add credentials to such a TD"
    done = measure(*boot.options("202608-inteltdx"))
    assert done.returncode == 0 and said in done.stderr
    for words in ("systemd.import_credentials=no", "quiet systemd.import_credentials=no a"):
        done = measure(*boot.options("202608-inteltdx", append=words))
        assert done.returncode == 0 and said not in done.stderr
    assert said in measure(*boot.options("202608-inteltdx", append="systemd.import_credentials=nope")).stderr


def test_loader_does_not_leave_its_folder(boot):
    boot.items["etc/table-loader"] = struct.pack("<I56s", 1, b"../../etc/passwd").ljust(128, b"\0")
    boot.write_items()
    done = measure(*boot.options("202608-inteltdx"))
    assert done.returncode == 1 and "names the file '../../etc/passwd'" in done.stderr


@pytest.mark.parametrize("spoil,said", [
    (lambda log: b"", "truncated in its first record"), (lambda log: log[:20], "truncated in its first record"),
    (lambda log: log.replace(b"Spec ID Event03", b"Spec ID Event02"), "does not begin with"),
    (lambda log: log.replace(struct.pack("<HH", 12, 48), struct.pack("<HH", 11, 32), 1), "only algorithm"),
    (lambda log: log[:65] + struct.pack("<I", 9) + log[69:], "register 9"),
    (lambda log: log[:73] + struct.pack("<I", 2) + log[77:], "2 digests"),
    (lambda log: log[:65 + 62] + struct.pack("<I", 1 << 30) + log[65 + 66:], "truncated"),
])
def test_refused_logs(boot, tmp_path, spoil, said):
    log = tmp_path / "ccel"
    log.write_bytes(spoil(make_log(boot.events("202608-inteltdx"))))
    done = measure(f"--from-ccel={log}")
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""


# --- other people's logs ----------------------------------------------------------------------------------------------------------------------

def vectors(kind):
    if not SHARED or not (SHARED / "index.json").exists():
        return []
    index = json.loads((SHARED / "index.json").read_text())
    return [v for v in index["vectors"] if v["kind"] == kind]


@pytest.mark.parametrize("vector", vectors("tcg") + vectors("ccel"), ids=lambda v: v["id"] if isinstance(v, dict) else "none")
def test_real_logs(vector):
    """Logs of real machines, and of real firmware as a TD under TCG."""
    name = vector["files"].get("ccel") or next(iter(vector["files"].values()))
    answer = json.loads(measure(f"--from-ccel={SHARED / name}", "--json=short").stdout)
    expected = vector["expect"].get("rtmr") or vector["expect"].get("rtmrs")
    assert [answer["registers"][f"rtmr{n}"] for n in range(len(expected))] == expected
    assert all(e["name"] for e in answer["events"])
    if isinstance(vector["expect"].get("events"), list):
        assert [[e["rtmr"], e["type"], e["digest"]] for e in answer["events"]] == [e[:3] for e in vector["expect"]["events"]]


def test_launchers_dialect(tmp_path):
    """--coco=tdx and --mode=tdx predict the same; without tables RTMR0 is neither shown nor expected."""
    boot = Boot(tmp_path)
    (tmp_path / "kernel").write_bytes(model.make_kernel())
    old = measure(*boot.options("202608-inteltdx"), "--json=short")
    words = ["--coco=tdx", f"--firmware={tmp_path / 'tdvf.fd'}", f"--linux={tmp_path / 'kernel'}", f"--initrd={tmp_path / 'initrd'}", f"--ram={RAM}M",
             "--edk2=202608-inteltdx", "--exact-words"]
    tables = [f"--fw-cfg={tmp_path / 'fw_cfg'}", f"--bios={BIOS}"]
    new = measure(*words, *tables, "--json=short", "--", *boot.words.split())
    assert old.returncode == new.returncode == 0, old.stderr + new.stderr
    known = json.loads(old.stdout)["registers"]
    assert json.loads(new.stdout)["registers"] == known
    part = measure(*words, "--", *boot.words.split())
    assert part.stdout.splitlines() == [f"{name} {known[name]}" for name in ("mrtd", "rtmr1", "rtmr2")]
    done = measure(*words, f"--expect=rtmr0:{known['rtmr0']}", "--", *boot.words.split())
    assert done.returncode == 1 and "rtmr0 is not predicted without --fw-cfg=" in done.stderr
    assert "only a launch does" in measure(*words, "--fw-cfg=auto").stderr
    assert "MRTD covers the firmware only" in measure(*words[:-2]).stderr and "covers" not in part.stderr
