# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TD under TCG: QEMU of Debian sid with the simulated TDX module as a plug-in. Nothing is encrypted and nothing proves anything; firmware, kernel and
initrd are the real ones. The guest's memory is a file, so that its event log can be read when it has stopped."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from conftest import BUILD, SOURCE

sys.path.insert(0, str(SOURCE / "tests/integration"))
import tdx_model as model  # noqa: E402

MODULE = BUILD / "sevsim/td-module.so"
MIB = 1 << 20
SECONDS = 600
EXITED = "0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74"
SEPARATOR = "394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0"


class TdGuest:
    """One TD, from start() to end(). `module` are arguments of the plug-in."""

    def __init__(self, qemu, folder, firmware, memory=1024, module=None, hob=None, log_output=False):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.firmware, self.memory, self.process = folder, firmware, memory, None
        self.ram, self.record = folder / "ram", folder / "record"
        (folder / "hob").write_bytes(hob or model.td_hob(firmware.read_bytes(), memory * MIB))
        words = {"record": self.record, **(module or {})}
        self.argv = [qemu, "-accel", "tcg,thread=single", "-machine", "q35,smm=off,pic=off,memory-backend=ram",
                     "-object", f"memory-backend-file,id=ram,size={memory}M,mem-path={self.ram},share=on",
                     "-m", f"{memory}M", "-cpu", "max,vendor=GenuineIntel,level=0x21,phys-bits=46", "-bios", firmware,
                     "-device", f"loader,file={folder / 'hob'},addr=0x809000,force-raw=on", "-nodefaults", "-display", "none", "-vga", "none",
                     "-no-reboot", "-serial", f"file:{folder / 'serial'}" if log_output else "null",
                     "-plugin", ",".join([str(MODULE), *(f"{k}={v}" for k, v in words.items())])]

    def start(self, *more):
        self.process = subprocess.Popen([*self.argv, *map(str, more)], stderr=subprocess.PIPE)
        return self

    def events(self):
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def extended(self):
        """Per register the digests in order, as the module was asked to extend them."""
        found = [[], [], [], []]
        for e in self.events():
            if e["event"] == "extend":
                found[e["index"]].append(e["data"])
        return found

    def wait(self, done, seconds=SECONDS):
        """Until done(events of extended()) is true. A guest that ends before is a failure."""
        limit = time.monotonic() + seconds
        while not done(self.extended()):
            assert self.process.poll() is None, self.process.stderr.read().decode()
            if time.monotonic() > limit:
                self.process.kill()
                self.process.communicate()
                raise AssertionError(f"still at {self.extended()}")
            time.sleep(0.05)
        return self

    def until_kernel(self):
        return self.wait(lambda found: EXITED in found[1])

    def until_separator(self):
        return self.wait(lambda found: SEPARATOR in found[1])

    def end(self):
        """The events, the module's registers among them; the guest's memory stays."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=SECONDS)
        events = self.events()
        assert [e for e in events if e["event"].startswith("unknown")] == []
        return events

    def registers(self):
        return {f"rtmr{e['index']}": e["data"] for e in self.events() if e["event"] == "rtmr"}

    def event_log(self):
        """The firmware's own event log, as its ACPI table points to it: found by its first record, and the longest copy counts."""
        head = struct.pack("<II", 1, 3) + bytes(20)
        logs = [used(found[:0x10000]) for found in places(self.ram, b"Spec ID Event03", 32) if found.startswith(head)]
        return max(logs, key=len)


def places(ram, text, before=0):
    """The bytes around each occurrence in the pages of the guest's memory that are in use; where there is a hole, nothing was written."""
    with open(ram, "rb") as f:
        end = 0
        while True:
            try:
                begin = os.lseek(f.fileno(), end, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(f.fileno(), begin, os.SEEK_HOLE)
            data = os.pread(f.fileno(), end - begin, begin)
            at = data.find(text)
            while at >= 0:
                if at >= before:
                    yield data[at - before:at - before + 0x10000]
                at = data.find(text, at + 1)


def used(log):
    """As far as there are records of the one algorithm."""
    at = 32 + struct.unpack_from("<I", log, 28)[0]
    while at + 66 <= len(log):
        register, _, digests, algorithm = struct.unpack_from("<IIIH", log, at)
        if register > 4 or digests != 1 or algorithm != 12:
            break
        at += 66 + struct.unpack_from("<I", log, at + 62)[0]
    return log[:at] + b"\xff" * 16


class Qtest:
    """fw_cfg of a running machine, over -qtest: the firmware goes on beside it, and is to be thrown away then."""

    RECORD, DATA = 0x2000000, 0x2001000

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rw", encoding="ascii")

    def ask(self, text):
        self.file.write(text + "\n")
        self.file.flush()
        answer = self.file.readline().split()
        assert answer[0] == "OK", (text, answer)
        return answer[1:]

    def read(self, selector, size):
        self.ask(f"write {self.RECORD:#x} 16 0x{struct.pack('>IIQ', selector << 16 | 0x0A, size, self.DATA).hex()}")
        for port, value in (0x514, self.RECORD >> 32), (0x518, self.RECORD & 0xFFFFFFFF):
            self.ask(f"outl {port:#x} {int.from_bytes(value.to_bytes(4, 'big'), 'little'):#x}")
        return bytes.fromhex(self.ask(f"read {self.DATA:#x} {size:#x}")[0][2:])

    def files(self, wanted=lambda name: True):
        count = struct.unpack(">I", self.read(0x19, 4))[0]
        entries = self.read(0x19, 4 + 64 * count)
        found = {}
        for i in range(count):
            size, selector, _, name = struct.unpack_from(">IHH56s", entries, 4 + 64 * i)
            text = name.split(b"\0")[0].decode()
            if wanted(text):
                found[text] = self.read(selector, size) if size else b""
        return found

    def close(self):
        self.file.close()
        self.socket.close()


# What a prediction reads; "etc/acpi/" and others with this beginning.
PREDICTED = ("etc/acpi/", "etc/smbios/", "etc/table-loader", "etc/extra-pci-roots", "etc/boot-menu-wait", "etc/reserved-memory-end",
             "opt/ovmf/X-PciMmio64Mb", "bootorder", "etc/vmgenid_guid")
BOOT_MENU = 0x0E  # has a number, no name


def save_files(path, folder):
    """fw_cfg's files of a machine with -qtest at PATH, as a folder for --fw-cfg."""
    test = Qtest(path)
    files = {"BootMenu": test.read(BOOT_MENU, 2), **test.files(lambda name: name.startswith(PREDICTED))}
    test.close()
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def read_tables(guest, folder, *devices):
    """What QEMU gives a firmware that has placed these devices, by a run that boots nothing. And what the firmware calls itself in its SMBIOS table,
    for --bios."""
    path = guest.folder / "qtest"
    guest.start(*devices, "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none").until_separator()
    save_files(path, folder)
    (folder / "bootorder").unlink(missing_ok=True)  # a direct boot has another one
    guest.end()
    return bios_words(guest.ram)


def bios_words(ram):
    for found in places(ram, b"Debian distribution of EDK II\0"):
        words = found[:128].split(b"\0")
        if len(words) > 3 and words[2].count(b"/") == 2 and words[3] == b"":
            return ",".join(w.decode() for w in words[:3])
    raise AssertionError("the firmware's SMBIOS structure is not in memory")


def soak():
    return os.environ.get("CVMSPAWN_SOAK") == "1"


def compare(guest, folder, measure):
    """What was predicted, event by event, and what the firmware extended and logged. measure takes options and gives what `cvmspawn measure` says."""
    log = folder / "ccel"
    log.write_bytes(guest.event_log())
    guest.ram.unlink()
    done = measure("--json=short")
    assert done.returncode == 0, done.stderr
    predicted = json.loads(done.stdout)
    ours = [[e["digest"] for e in predicted["events"] if e["rtmr"] == n] for n in range(3)]
    compared = measure(f"--from-ccel={log}")
    assert guest.extended() == [*ours, []], compared.stdout
    assert {**guest.registers(), "mrtd": predicted["registers"]["mrtd"]} == {**predicted["registers"], "rtmr3": "0" * 96}
    assert (compared.returncode, compared.stdout) == (0, "equal: all events of the log are as predicted\n"), compared.stdout + compared.stderr
