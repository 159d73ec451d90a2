# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is not sound goes no further: bundles that contradict themselves are neither exported, signed nor learned into, unsigned ones decide nothing, names
move no cursor, and inputs that are known by their hashes alone are inputs."""

import json

import pytest
from snp_world import expect, run
from test_refs import ISSUED, build, bundle, changed, launch, signers, world  # noqa: F401

NOW = f"--time=@{ISSUED + 60}"


def wrong_row(j):
    j["launches"][0]["rows"][0]["digests"][2] = "00" * 48


@pytest.mark.parametrize("words", [["export", "--format=table"], ["export", "--format=rvps"], ["export", "--format=c8s"], ["sign", "--key={}/ed.pem"],
                                   ["sign", "--detached"]])
def test_rows_that_contradict_their_family(world, bundle, tmp_path, words):  # noqa: F811
    file, out = changed(bundle, tmp_path / "wrong", wrong_row), tmp_path / "out"
    done = expect(run("refs", *(w.format(world) for w in words), file, "-o", out), 3, "contradicts the family")
    assert done.stdout == "" and not out.exists()


def test_a_model_and_another_signature(bundle, tmp_path):  # noqa: F811
    file = changed(bundle, tmp_path / "model", lambda j: j["launches"][0]["rows"][0].update({"cpu-model": "EPYC-Genoa"}))
    for words in (["verify", "--insecure-no-signature", NOW], ["export", "--format=table"]):
        assert expect(run("refs", *words, file), 3, "is not that of its 'cpu-model'").stdout == ""


def test_learn_refuses_them_too(bundle, tmp_path):  # noqa: F811
    file = changed(bundle, tmp_path / "wrong", wrong_row)
    (tmp_path / "report").write_bytes(bytes(1184))
    expect(run("refs", "learn", "--good", file, tmp_path / "report"), 3, "contradicts the family")


def test_unsigned_bundles_move_no_state(bundle, tmp_path):  # noqa: F811
    state = tmp_path / "state"
    expect(run("refs", "verify", bundle, "--insecure-no-signature", f"--state={state}", NOW), 1, "--state", "nobody signed")
    assert not state.exists()


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "{\"format\":\"x\"}", "\0\1\2"])
def test_what_is_no_bundle_has_no_signature_to_miss(world, tmp_path, text):  # noqa: F811
    (tmp_path / "bad").write_text(text)
    expect(run("refs", "verify", *signers(world, "ed"), tmp_path / "bad"), 1)


def test_building_from_a_signed_bundle_says_what_it_does_not_check(world, bundle, tmp_path):  # noqa: F811
    expect(run("refs", "sign", bundle, f"--key={world}/ed.pem", "-o", tmp_path / "signed"), 0)
    done = expect(run("refs", "build", tmp_path / "signed", "-o", tmp_path / "new"), 0)
    assert "signatures are not checked by build" in done.stderr
    assert run("refs", "build", bundle, "-o", tmp_path / "plain").stderr == ""


def test_names_move_no_cursor(bundle, tmp_path):  # noqa: F811
    file = changed(bundle, tmp_path / "named", lambda j: j.update(name="\x1b[31mred\nverified: all good"))
    for words in (["verify", "--insecure-no-signature", NOW], ["show"]):
        done = expect(run("refs", *words, file), 0)
        assert "\x1b" not in done.stdout and "\nverified: all" not in done.stdout


def hashed(world, name, kernel):  # noqa: F811
    firmware = next(iter(sorted(world.glob("*.fd"))))
    return build(world, name, words=["--", "--mode=snp", "--ovmf", firmware, f"--kernel-hash={kernel}", f"--initrd-hash={'bb' * 32}", "--append=quiet", "--vcpus=1",
                                     "--vcpu-type=EPYC-v4"])


def test_hashes_are_inputs(world):  # noqa: F811
    old, new = hashed(world, "hash-old.json", "aa" * 32), hashed(world, "hash-new.json", "cc" * 32)
    done = expect(run("refs", "diff", old, new), 3)
    assert "kernel" in done.stdout and "recorded inputs are the same" not in done.stdout
    table = expect(run("refs", "export", "--format=table", old), 0).stdout
    assert "aa" * 32 in table and "bb" * 32 in table


def test_forecast_of_a_firmware_that_was_not_recorded(world, tmp_path):  # noqa: F811
    firmware = next(iter(sorted(world.glob("*.fd"))))
    file = build(world, "recorded.json", words=launch(world, "snp", "1", "EPYC-v4"))
    unknown = changed(file, tmp_path / "unknown.json", lambda j: j["launches"][0]["inputs"].pop("firmware"))
    assert run("forecast", f"--against={file}", "--kernel=6.12", f"--firmware={firmware}").returncode == 0
    done = expect(run("forecast", f"--against={unknown}", "--kernel=6.12", f"--firmware={firmware}"), 3)
    assert "does not say which firmware image it was" in done.stdout
    assert json.loads(expect(run("forecast", "--json=short", f"--against={unknown}", "--kernel=6.12", f"--firmware={firmware}"), 3).stdout)["changes"]
