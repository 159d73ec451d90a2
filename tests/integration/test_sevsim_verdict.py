# SPDX-License-Identifier: LGPL-2.1-or-later
"""The verifier and ID blocks against the simulated platform, end to end: launch, report, verdict."""

import json
import subprocess

import pytest
import sevsim_model as model
from sevsim_host import SECONDS, build_folder, skip_or_fail, text64

FIRMWARE = model.make_firmware(seed=51)
KERNEL = model.make_kernel(seed=52)
INITRD = model.make_initrd(seed=53)
WORDS = "console=ttyS0"
DIRECT = {"kernel": KERNEL, "initrd": INITRD, "words": WORDS}


def cvmspawn(verb, *arguments):
    program = build_folder() / "programs" / "cvmspawn"
    if not (program.parent / f"verb-{verb}").exists():
        skip_or_fail(f"cvmspawn {verb} is not built")
    return subprocess.run([program, verb, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, check=False)


def chain(platform):
    return [platform / f"{name}.cert" for name in ("pdh", "pek", "oca", "cek-signed", "ask", "ark")]


def test_platform_is_authentic_only_as_a_simulation(platform):
    trusted = cvmspawn("cert-chain", f"--insecure-root={platform / 'ark.cert'}", "verify", *chain(platform))
    assert trusted.returncode == 0, trusted.stderr
    assert cvmspawn("cert-chain", "verify", *chain(platform)).returncode == 2


@pytest.mark.parametrize("leaf", ["vcek", "vlek"])
def test_report(sim, platform, leaf):
    """Launch, report, verdict: verified for the digest that was predicted, and for no other; never up to AMD's own root."""
    launch = sim.launch("snp", FIRMWARE, **{"host-data": text64(bytes(range(32)))}, **DIRECT)
    data, report = "ab" * 64, sim.folder / "report.bin"
    tool = build_folder() / "sevsim" / "sevsim-attest"
    subprocess.run([tool, *(["--vlek"] if leaf == "vlek" else []), platform, launch.folder, data, report], check=True,
                   timeout=SECONDS)

    def verify(digest, *more):
        return cvmspawn("report", "--offline", "--cache=", f"--leaf={platform / (leaf + '.der')}",
                        f"--ca={platform / (leaf + '-chain.pem')}", f"--ca={platform / 'crl.der'}", f"--measurement={digest}",
                        f"--report-data={data}", *more, "verify", report)

    simulated = f"--insecure-root={platform / 'ark.pem'}"
    digest = model.snp_digest(FIRMWARE, **DIRECT)
    good = verify(digest, simulated)
    assert good.returncode == 0, good.stdout + good.stderr
    assert verify("00" * 48, simulated).returncode == 3
    assert verify(digest, simulated, f"--host-data={bytes(32).hex()}").returncode == 3
    # what does not verify up to the pinned root says nothing about the report
    refused = verify(digest)
    assert refused.returncode == 4 and "collateral unavailable (root)" in refused.stdout, refused


@pytest.mark.parametrize("author", [True, False])
def test_id_block_through_the_launcher(sim, author):
    """cvmspawn hands an ID block on; the simulated processor checks it against this very launch."""
    pytest.importorskip("cryptography", reason="python3-cryptography makes the signatures")
    digest = model.snp_digest(FIRMWARE, **DIRECT)
    block, auth, *_ = model.make_id_block(bytes.fromhex(digest), 0x30000, author)
    sim.arguments("snp", FIRMWARE, **DIRECT)  # for its files
    host_data = bytes(range(1, 33)).hex()
    result = cvmspawn("sevsim", "--json", f"--record={sim.folder / 'kept'}", "--sev-node=0666", "--",
                      build_folder() / "programs" / "cvmspawn", "--coco=sev-snp", f"--qemu={sim.qemu}", "--ram=256M",
                      f"--firmware={sim.folder / 'firmware.fd'}", f"--linux={sim.folder / 'kernel'}",
                      f"--initrd={sim.folder / 'initrd'}", f"--host-data={host_data}",
                      f"--id-block={sim.file('id-block.bin', block)}", f"--id-auth={sim.file('id-auth.bin', auth)}")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["equal"] is True
    (launch,) = answer["launches"]
    assert launch["digest"] == digest and launch["refused"] == []
    with open(launch["folder"] + "/commands.jsonl", encoding="ascii") as lines:
        finish = json.loads(lines.readlines()[-1])
    assert finish["command"] == "SNP_LAUNCH_FINISH" and finish["fw_error"] == 0
    assert (finish["id_block"], finish["author_key"], finish["host_data"]) == (True, author, host_data)
