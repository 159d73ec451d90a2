# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of state around a stand-in for QEMU: EFI variables and TPM beside an image, who may use them, and what --ephemeral leaves."""

import json
import os
import shutil
import signal

import pytest
from conftest import skip_or_fail
from launcher_fake import TOOK_TOO_LONG, said

WAITS = "vm.start(); vm.answer_until('system_powerdown'); vm.power_off()"
ENDS = "vm.start(); vm.power_off()"
VARIABLES = b"variables" * 1000


@pytest.fixture
def machine(fake, tmp_path):
    """A UEFI guest with an image; firmware and variables are of no use to a stand-in."""
    code, variables = tmp_path / "code.fd", tmp_path / "vars.fd"
    code.write_bytes(bytes(64 << 10))
    variables.write_bytes(VARIABLES)
    os.utime(variables, (1_000_000_000, 1_000_000_000))
    descriptor = tmp_path / "firmware.json"
    descriptor.write_text(json.dumps({
        "description": "made for a test", "interface-types": ["uefi"],
        "mapping": {"device": "flash", "mode": "split", "executable": {"filename": str(code), "format": "raw"},
                    "nvram-template": {"filename": str(variables), "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}], "features": [], "tags": [],
    }))  # fmt: skip
    folder = tmp_path / "images"
    folder.mkdir()
    image = folder / "disk.raw"
    image.write_bytes(bytes(1 << 20))

    def start(scenario, *arguments, **options):
        return fake.cvmspawn.start(f"--qemu={fake.qemu(scenario)}", "--kvm=no", f"--image={image}", f"--firmware={descriptor}", *arguments, **options)

    start.folder = folder
    return start


def names(folder):
    return sorted(path.name for path in folder.iterdir())


WRITES = "fd = max(int(w.split('=')[1].split(',')[0]) for w in arguments if w.startswith('fd=')); os.pwrite(fd, b'changed', 0); "


def test_variables_are_kept_beside_the_image(machine):
    """Made of the template with its time, for its owner only; used again afterwards, template or not."""
    result = machine(ENDS, "--tpm=no").wait(TOOK_TOO_LONG)
    assert (result.status, result.leftovers) == (0, []), result.err
    state = machine.folder / "disk.raw.efinvramstate"
    assert names(machine.folder) == ["disk.raw", state.name]
    info = state.stat()
    assert (info.st_mode & 0o777, int(info.st_mtime)) == (0o600, 1_000_000_000)
    assert state.read_bytes() == VARIABLES
    state.write_bytes(b"w" + VARIABLES[1:])
    run = machine(f"vm.start(); {WRITES}vm.power_off()", "--tpm=no")
    assert run.wait(TOOK_TOO_LONG).status == 0
    assert state.read_bytes()[:9] == b"changed" + VARIABLES[7:9]


@pytest.mark.parametrize("options", [("--efi-nvram-state=off",), ("--ephemeral",)], ids=["off", "ephemeral"])
def test_nothing_is_kept(machine, options):
    """The stand-in cannot make an overlay: --ephemeral ends there, which is late enough."""
    result = machine(ENDS, *options, "--tpm=no").wait(TOOK_TOO_LONG)
    assert result.leftovers == [] and "does not know the size" in result.err or result.status == 0
    assert names(machine.folder) == ["disk.raw"]


def test_printing_makes_nothing(machine):
    assert machine(ENDS, "--print=argv").wait(TOOK_TOO_LONG).status == 0
    assert names(machine.folder) == ["disk.raw"]


def test_two_guests_do_not_share_variables(machine):
    run = machine(WAITS, "--tpm=no", "--json=short", "--console=headless")
    run.wait_for_output(b'"started"')
    second = machine(ENDS, "--tpm=no", "--efi-nvram-state=" + str(machine.folder / "disk.raw.efinvramstate")).wait(TOOK_TOO_LONG)
    assert second.status == 125
    assert said(second)[-1].endswith("disk.raw.efinvramstate' is in use by another guest")
    run.signal()
    assert run.wait(TOOK_TOO_LONG).status == 0


def test_a_killed_launcher_leaves_whole_variables_and_no_lock(machine):
    for delay in range(8):
        run = machine(WAITS, "--tpm=no")
        run.wait_for(lambda: delay < 4 or "disk.raw.efinvramstate" in names(machine.folder), 60, "no file came")
        run.signal(signal.SIGKILL)
        run.wait(TOOK_TOO_LONG)
        state = machine.folder / "disk.raw.efinvramstate"
        assert not state.exists() or state.read_bytes() == VARIABLES
        assert set(names(machine.folder)) <= {"disk.raw", state.name}
    assert machine(ENDS, "--tpm=no").wait(TOOK_TOO_LONG).status == 0


def test_variables_of_another_firmware_are_refused(machine):
    (machine.folder / "disk.raw.efinvramstate").write_bytes(b"short")
    result = machine(ENDS, "--tpm=no").wait(TOOK_TOO_LONG)
    assert result.status == 125
    assert "has 5 bytes, but this firmware's variables have 9000" in said(result)[-1]
    assert (machine.folder / "disk.raw.efinvramstate").read_bytes() == b"short"


def test_a_link_s_variables_are_beside_its_target(machine, tmp_path):
    (tmp_path / "link").symlink_to(machine.folder / "disk.raw")
    assert machine(ENDS, "--tpm=no", f"--image={tmp_path / 'link'}").wait(TOOK_TOO_LONG).status == 0
    assert names(machine.folder) == ["disk.raw", "disk.raw.efinvramstate"]


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="a folder that root cannot write to needs setpriv")
def test_a_folder_that_cannot_be_written_to_is_a_notice(machine):
    """With the default; a path that was asked for is an error."""
    prefix = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.geteuid() == 0 else ()
    machine.folder.chmod(0o555)
    try:
        result = machine(ENDS, "--tpm=no", prefix=prefix).wait(TOOK_TOO_LONG)
        refused = machine(ENDS, "--tpm=no", f"--efi-nvram-state={machine.folder / 'other'}", prefix=prefix).wait(TOOK_TOO_LONG)
    finally:
        machine.folder.chmod(0o755)
    assert result.status == 0, result.err
    assert any("EFI variables are discarded when the guest ends" in line for line in said(result))
    assert refused.status == 125 and "cannot create" in said(refused)[-1]


@pytest.fixture
def swtpm():
    if not shutil.which("swtpm"):
        skip_or_fail("swtpm is missing")


def test_a_tpm_is_kept_beside_the_image(machine, swtpm):
    run = machine(WAITS, "--json=short", "--console=headless")
    run.wait_for_output(b'"started"')
    folder = machine.folder / "disk.raw.tpmstate"
    assert folder.stat().st_mode & 0o777 == 0o700
    second = machine(ENDS, "--efi-nvram-state=off").wait(TOOK_TOO_LONG)
    assert second.status == 125
    assert said(second)[-1] == f"cvmspawn: --tpm-state: '{folder}' is in use by another guest"
    run.signal()
    assert run.wait(TOOK_TOO_LONG).leftovers == []


@pytest.mark.parametrize("options", [("--tpm-state=off",), ("--ephemeral",), ("--tpm=no",)], ids=["off", "ephemeral", "none"])
def test_no_tpm_is_kept(machine, swtpm, options):
    words = [*options] if "--ephemeral" in options else ["--efi-nvram-state=off", *options]
    result = machine(ENDS, *words).wait(TOOK_TOO_LONG)
    assert result.leftovers == [] and "does not know the size" in result.err or result.status == 0
    assert names(machine.folder) == ["disk.raw"]


def test_a_file_in_place_of_a_tpm_is_refused(machine, swtpm):
    result = machine(ENDS, "--efi-nvram-state=off", f"--tpm-state={machine.folder / 'disk.raw'}").wait(TOOK_TOO_LONG)
    assert result.status == 125
    assert said(result)[-1].startswith("cvmspawn: --tpm-state: cannot open the directory")
