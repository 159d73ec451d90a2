# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn extract --oci=: the file that a container would see comes out, whatever form the image has; what is damaged, hostile or unclear is one
error message, with nothing written."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from container_image import OCI, Layout, digest, docker, folder, hard, layer, link, member, packed
from sevsim_host import build_folder

FIRMWARE = bytes(range(256)) * 9000
PATH = "/usr/share/OVMF/OVMF_CODE.fd"
BASE = layer(folder("usr/"), folder("usr/share"), {"usr/share/OVMF/OVMF_CODE.fd": FIRMWARE, "etc/x": b"x"})


def extract(*argv, status=0, env=None):
    done = subprocess.run([build_folder() / "programs/verb-extract", *map(str, argv)], capture_output=True, timeout=300, env={**os.environ, **(env or {})})
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, done.err
    return done


def got(source, tmp_path, *options, path=PATH):
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    found = json.loads(extract(f"--oci={source}", f"--path={path}", "-o", out, "--json", *options).out)
    data = (out / path.rpartition("/")[2]).read_bytes()
    assert found["file"]["sha256"] == hashlib.sha256(data).hexdigest() and found["file"]["size"] == len(data)
    assert found["written"] == [f"{out}/{path.rpartition('/')[2]}"] and len(list(out.iterdir())) == 1
    return data, found


def refused(source, tmp_path, *says, options=(), path=PATH):
    out = tmp_path / "refused"
    done = extract(f"--oci={source}", f"--path={path}", "-o", out, *options, status=1)
    assert done.out == "" and not out.exists()
    errors = [line for line in done.err.splitlines() if line]
    assert len(errors) == 1, done.err
    for what in says:
        assert what in errors[0], errors[0]


def one(tmp_path, *layers, **more):
    layout = Layout()
    layout.image(layers, **more)
    return layout.write_tar(tmp_path / "image.tar")


@pytest.mark.parametrize("how", ["gzip", "zstd", "tar"])
def test_every_form(tmp_path, how):
    layers = [BASE, layer({"etc/y": b"y"}), layer({"etc/z": b"z"})]
    layout = Layout()
    layout.image(layers, name="latest", how=how)
    sources = [layout.write(tmp_path / "layout"), layout.write_tar(tmp_path / "oci.tar"), layout.write_tar(tmp_path / "oci.tar.gz", "gzip"),
               docker(tmp_path / "docker.tar", [(["x:1"], layers)]), docker(tmp_path / "links.tar", [(["x:1"], layers)], links=True)]  # fmt: skip
    for source in sources:
        data, found = got(source, tmp_path)
        assert data == FIRMWARE and found["file"]["layer"] == {"number": 1, "of": 3, "content": digest(BASE)}
        assert found["kind"] == ("docker-archive" if source.name in ("docker.tar", "links.tar") else "oci")
    inside = Layout()
    inside.image(layers, name="latest", how=how, index=True, algorithm="sha512")
    assert got(inside.write(tmp_path / "sha512"), tmp_path)[0] == FIRMWARE
    text = extract(f"--oci={sources[0]}", f"--path={PATH}").out
    assert f"{len(FIRMWARE)} bytes, sha256 {hashlib.sha256(FIRMWARE).hexdigest()}" in text and "layer     1 of 3" in text


def test_which_image(tmp_path):
    old, new, arm = (layer({"f": what}) for what in (b"old", b"new", b"arm"))
    layout = Layout()
    layout.image([old], name="v1")
    layout.image([new], name="v2")
    source = layout.write(tmp_path / "two")
    refused(source, tmp_path, "2 images", "--image=", "v1 (sha256:", "), v2 (sha256:", path="/f")
    for name, data in ("v1", b"old"), ("quay.io/x/y:v2", b"new"):
        assert got(source, tmp_path, f"--image={name}", path="/f")[0] == data
    refused(source, tmp_path, "no image 'v3'", "v1 (sha256:", "), v2 (sha256:", path="/f", options=["--image=v3"])
    many = Layout()
    many.image([arm], platform="linux/arm64")
    many.image([new], platform="linux/amd64")
    many.image([old], platform="unknown/unknown")
    assert got(many.write_tar(tmp_path / "many.tar"), tmp_path, path="/f")[0] == b"new"
    many.manifests[1]["platform"] = {"os": "linux", "architecture": "s390x"}
    refused(many.write_tar(tmp_path / "many.tar"), tmp_path, "2 images in it, none of them said to be for linux/amd64", ", linux/arm64), ", ", linux/s390x)", path="/f")
    both = docker(tmp_path / "both.tar", [(["a:1"], [old]), (["b:1", "localhost:5000/b"], [new])])
    refused(both, tmp_path, "2 images", "a:1 (sha256:", "), b:1 (sha256:", path="/f")
    assert got(both, tmp_path, "--image=localhost:5000/b", path="/f")[0] == b"new"


def test_by_tag(tmp_path):
    """A tag alone, the end of a name, and exactly that name before the others."""
    a, b, c = (layer({"f": what}) for what in (b"a", b"b", b"c"))
    layout = Layout()
    for data, name in ((a, "docker.io/library/app:1"), (b, "docker.io/library/app:2"), (c, "quay.io/other:3")):
        layout.image([data], name=name)
    for source in (layout.write(tmp_path / "oci"), docker(tmp_path / "d.tar", [(["docker.io/library/app:1"], [a]), (["docker.io/library/app:2"], [b]), (["quay.io/other:3"], [c])])):
        for wanted, data, name in (("1", b"a", "docker.io/library/app:1"), ("2", b"b", "docker.io/library/app:2"), ("app:2", b"b", "docker.io/library/app:2"),
                                   ("library/app:1", b"a", "docker.io/library/app:1"), ("docker.io/library/app:1", b"a", "docker.io/library/app:1")):
            found = got(source, tmp_path, f"--image={wanted}", path="/f")
            assert (found[0], found[1]["name"]) == (data, name)
        for wanted in ("pp:1", "4", "app", "other", "docker.io/library/app", ""):
            refused(source, tmp_path, f"no image '{wanted}' in it", "docker.io/library/app:1 (sha256:", "quay.io/other:3", path="/f", options=[f"--image={wanted}"])
    two = docker(tmp_path / "two.tar", [(["x:2"], [a]), (["y:2"], [b]), (["2"], [c])])
    assert got(two, tmp_path, "--image=2", path="/f")[0] == b"c"
    two = docker(tmp_path / "two.tar", [(["x:2"], [a]), (["y:2"], [b]), (["z:1"], [c])])
    refused(two, tmp_path, "2 images in it fit '2'", "it has: x:2 (sha256:", "y:2 (sha256:", path="/f", options=["--image=2"])


def test_by_digest(tmp_path):
    """Of the manifest, of the index above it, of a docker archive's configuration; complete, or at least 12 digits of it."""
    a, b, amd, arm = (layer({"f": what}) for what in (b"a", b"b", b"amd", b"arm"))
    layout = Layout()
    one, other = layout.image([a], name="x"), layout.image([b], index=True, name="x")
    inside = json.loads(layout.files["blobs/" + other["digest"].replace(":", "/")])["manifests"][0]
    # An index with two machines' images.
    both = Layout()
    machines = [both.image([data], platform=f"linux/{machine}") for data, machine in ((amd, "amd64"), (arm, "arm64"))]
    whole = both.blob(json.dumps({"schemaVersion": 2, "manifests": machines}).encode(), OCI + "index.v1+json")
    layout.files |= both.files
    layout.manifests.append(whole)
    source = layout.write(tmp_path / "oci")
    refused(source, tmp_path, "no image 'y'", f"x ({one['digest'][:19]}), x ({other['digest'][:19]}), one without a name ({whole['digest'][:19]})", path="/f", options=["--image=y"])
    assert got(source, tmp_path, path="/f")[0] == b"amd"
    refused(source, tmp_path, "2 images in it fit 'x', none of them said to be for linux/amd64", path="/f", options=["--image=x"])
    for d, data in ((one, b"a"), (other, b"b"), (inside, b"b"), (whole, b"amd"), (machines[1], b"arm")):
        for wanted in (d["digest"], d["digest"][:19], "quay.io/x@" + d["digest"]):
            found = got(source, tmp_path, f"--image={wanted}", path="/f")
            assert found[0] == data
        assert found[1]["manifest"] == (inside if d is other else machines[0] if d is whole else d)["digest"]
    images = [(["a:1"], [a]), (["b:1"], [b])]
    archive = docker(tmp_path / "d.tar", images)
    for tags, layers in images:
        found = got(archive, tmp_path, f"--image={tags[0]}", path="/f")
        assert got(archive, tmp_path, f"--image={found[1]['manifest']}", path="/f") == found
    # What calls itself that is not it; less than 12 digits are a name.
    named = Layout()
    named.image([a], name=one["digest"])
    named.image([b], name=one["digest"][:18])
    liar = named.write(tmp_path / "liar")
    assert json.loads(named.whole()["index.json"])["manifests"][0]["digest"] == one["digest"]
    named.manifests[0]["annotations"], named.manifests[1]["annotations"] = named.manifests[1]["annotations"], named.manifests[0]["annotations"]
    (liar / "index.json").write_bytes(named.whole()["index.json"])
    assert got(liar, tmp_path, f"--image={one['digest']}", path="/f")[0] == b"a"
    wrong = "sha256:" + "0" * 64
    named.manifests[0]["annotations"] = {"org.opencontainers.image.ref.name": wrong}
    (liar / "index.json").write_bytes(named.whole()["index.json"])
    refused(liar, tmp_path, f"no image '{wrong}' in it", path="/f", options=[f"--image={wrong}"])


def test_layers_cover_one_another(tmp_path):
    """What a container with these layers sees (image specification, layer.md)."""
    bottom = layer(folder("d"), {"d/f": b"1", "d/g": b"1", "e/f": b"1", "top": b"1"}, link("l", "d"), {"./odd//f": b"1"})
    cases = [
        ([bottom, layer({"d/f": b"2"})], "/d/f", b"2"),
        ([bottom, layer({"d/f": b"2"}, {"d/f": b"3"})], "/d/f", b"3"),  # the last one of a name
        ([bottom, layer({"d/.wh.f": b""})], "/d/f", "layer 2 deletes it"),
        ([bottom, layer({".wh.d": b""})], "/d/f", "layer 2 deletes it"),
        ([bottom, layer({"d/.wh..wh..opq": b""})], "/d/f", "layer 2 deletes it"),
        ([bottom, layer({".wh..wh..opq": b""})], "/top", "layer 2 deletes it"),
        ([bottom, layer({"d/.wh.f": b"", "d/f": b"2"})], "/d/f", b"2"),  # not in the same layer
        ([bottom, layer({"d/f": b"2", "d/.wh..wh..opq": b""})], "/d/f", b"2"),
        ([bottom, layer({"d/.wh..wh..opq": b"", "d/h": b"2"}), layer({"x": b""})], "/d/g", "layer 2 deletes it"),
        ([bottom, layer({"e/.wh..wh..opq": b"", "d/.wh.g": b"", "d/.wh.ff": b"", "d/.wh..wh.plnk": b""})], "/d/f", b"1"),
        ([bottom], "/l/f", b"1"),
        ([bottom], "/odd/f", b"1"),
        ([bottom, layer(folder("l"), {"l/x": b"2"})], "/l/f", "no file '/l/f'"),  # a folder in the place of the link
        ([bottom, layer({"d": b"2"})], "/d/f", "'/d' is not a directory"),
        ([bottom, layer(link("d", "e"))], "/d/f", b"1"),
        ([bottom, layer(link("top", "../../../../d/./f"))], "/top", b"1"),
        ([bottom, layer(link("x", "/d/../e/f"))], "/x", b"1"),
        ([bottom, layer(link("x", "y"), link("y", "x"))], "/x", "more than 40 links"),
        ([bottom, layer(hard("h", "d/f"))], "/h", b"1"),  # its target is below
        ([layer({"a": b"7"}, hard("h", "./a")), layer({"a": b"8"})], "/h", b"7"),  # another name for what was there then
        ([bottom], "/d", "is a directory"),
        ([bottom, layer(member("fifo", kind=tarfile.FIFOTYPE))], "/fifo", "not a regular file"),
        ([bottom], "/nowhere/top", "of that name it has: top"),
        ([layer({"d/ä/f": b"u"})], "/d/ä/f", b"u"),
        ([layer({"d/" + "n" * 300 + "/f": b"long"})], "/d/" + "n" * 300 + "/f", b"long"),
        ([layer()], "/x", "no file '/x'"),
    ]
    for layers, path, expected in cases:
        for how in "gzip", "tar":
            source = one(tmp_path, *layers, how=how)
            if isinstance(expected, bytes):
                assert got(source, tmp_path, path=path)[0] == expected, (path, layers)
            else:
                refused(source, tmp_path, expected, path=path)


def test_names_that_lead_outside(tmp_path):
    evil = layer({"../../../../tmp/evil": b"x", "a/../../f": b"x", "/etc/f": b"ok"}, link("out", "../../../../etc/passwd"))
    source = one(tmp_path, evil)
    done = extract(f"--oci={source}", "--path=/etc/f")
    assert "2 entries of the layers were ignored" in done.err
    refused(source, tmp_path, "no file '/etc/passwd'", path="/out")
    assert not os.path.exists("/tmp/evil")
    assert got(source, tmp_path, path="/../etc/./f")[0] == b"ok"
    # a layout that leads out of its folder, or to what is not a file
    layout = Layout()
    layout.image([BASE])
    where = layout.write(tmp_path / "layout")
    blob = next(where.glob("blobs/sha256/*"))
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    refused(where, tmp_path, "cannot open 'blobs/sha256/")
    blob.unlink()
    os.mkfifo(blob)
    refused(where, tmp_path, "is not a regular file")


def test_each_hash_is_checked(tmp_path):
    layout = Layout()
    layout.image([BASE, layer({"x": b"y"})])
    where = layout.write(tmp_path / "layout")
    for blob in sorted(where.glob("blobs/sha256/*")):
        good = blob.read_bytes()
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), good + b"\n", good[: len(good) // 2], b""):
            blob.write_bytes(bad)
            refused(where, tmp_path, "" if bad == good[: len(good) // 2] else "digest")
        blob.unlink()
        refused(where, tmp_path, "missing")
        blob.write_bytes(good)
    assert got(where, tmp_path)[0] == FIRMWARE
    other = Layout()
    other.image([BASE], diff_ids=[digest(b"something else")])
    refused(other.write_tar(tmp_path / "other.tar"), tmp_path, "layer 1: its content is not what the image names", digest(BASE))
    few = Layout()
    few.image([BASE], diff_ids=[digest(BASE)] * 2)
    refused(few.write_tar(tmp_path / "few.tar"), tmp_path, "digests of 2 layers, and the image 1 layers")
    archive = docker(tmp_path / "docker.tar", [(["x:1"], [BASE])])
    data = archive.read_bytes()
    at = data.index(FIRMWARE[:4096])
    archive.write_bytes(data[:at] + b"!" + data[at + 1 :])
    refused(archive, tmp_path, "layer 1: its content is not what the image names")


def test_what_is_not_an_image(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "not an OCI image layout", "oci-layout")
    for name, data, says in (("zeros", bytes(4096), "neither 'index.json' nor 'manifest.json'"), ("text", b"hello world" * 99, "damaged"),
                             ("tar", BASE, "neither 'index.json'"), ("nothing", b"", "neither 'index.json'"),
                             ("bad.tar", layer({"index.json": b"{"}), "index.json"), ("list.tar", layer({"index.json": b"[]"}), "no image in it"),
                             ("docker", layer({"manifest.json": b"[{}]"}), "no configuration")):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, tmp_path, says)
    refused(tmp_path / "missing", tmp_path, "No such file")
    foreign = Layout()
    foreign.image([BASE], media="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    refused(foreign.write(tmp_path / "foreign"), tmp_path, "layer 1 is to be downloaded from elsewhere")
    twice = one(tmp_path, packed(BASE, "gzip"))
    refused(twice, tmp_path, "compressed twice")
    whole = one(tmp_path, BASE)
    data = whole.read_bytes()
    for n in range(1, 12):
        whole.write_bytes(data[: len(data.rstrip(b"\0")) * n // 12])
        refused(whole, tmp_path, "")
    for argv, says in (([f"--oci={whole}"], "--path=PATH is missing"), ([f"--oci={whole}", "--path=/a/"], "is a directory"),
                       ([f"--oci={whole}", "--path=/x", "disk"], "expected one of them"), (["--path=/x", "disk"], "--path"),
                       ([f"--oci={whole}", "--path=/x", "--list"], "disk images")):  # fmt: skip
        assert says in extract(*argv, status=1).err


def test_a_writer_without_padding(tmp_path):
    """umoci leaves out the zeros at the end of a layer: its digests are right all the same."""
    bare = BASE[: -len(BASE) + len(BASE.rstrip(b"\0"))]
    bare += bytes(-len(bare) % 512)
    source = one(tmp_path, layer({"x": b""}), bare)
    assert got(source, tmp_path)[0] == FIRMWARE


def test_large_file_is_refused(tmp_path):
    source = one(tmp_path, layer({"big": bytes((64 << 20) + 1)}))
    refused(source, tmp_path, "more than 64 MiB", path="/big")


@pytest.mark.full
def test_bombs(tmp_path):
    """9 GiB of zeros in some hundred KiB; a million files; too many files beside each other."""
    info = tarfile.TarInfo("zeros")
    info.size = 9 << 30
    bomb = packed(info.tobuf(tarfile.GNU_FORMAT), "zstd") + packed(bytes(256 << 20), "zstd") * 36
    assert len(bomb) < 1 << 20
    layout = Layout()
    layout.image([BASE], how="tar")
    manifest = json.loads(layout.files["blobs/" + layout.manifests[0]["digest"].replace(":", "/")])
    manifest["layers"] = [layout.blob(bomb, "application/vnd.oci.image.layer.v1.tar+zstd")]
    layout.manifests = [layout.blob(json.dumps(manifest).encode(), layout.manifests[0]["mediaType"])]
    refused(layout.write_tar(tmp_path / "bomb.tar"), tmp_path, "layer 1: more than 8 GiB uncompressed")
    blocks = b"".join(tarfile.TarInfo(f"f/{n}").tobuf() for n in range(1000))
    source = one(tmp_path, layer({"wanted": b"w"})[:1024] + b"".join(blocks.replace(b"f/", b"%c/" % (97 + n % 26)) for n in range(1000)) + bytes(1024))
    assert "deleted" not in extract(f"--oci={source}", "--path=/none", status=1).err
    crowd = Layout()
    crowd.image([BASE])
    where = crowd.write(tmp_path / "crowd")
    for n in range(1001):
        (where / f"blobs/sha256/{n:064x}").write_bytes(b"")
    refused(where, tmp_path, "more than 1000 files")


def test_registry(tmp_path):
    """By skopeo, which a stand-in plays."""
    layout = Layout()
    layout.image([BASE], name="image")
    layout.write(tmp_path / "layout")
    programs = tmp_path / "bin"
    programs.mkdir()
    argv = ["--registry=docker://quay.example/ovmf:1", f"--path={PATH}", "-o", tmp_path / "out", "--json"]
    env = {"PATH": str(programs), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    assert "needs skopeo" in extract(*argv, status=1, env=env).err
    skopeo = programs / "skopeo"
    skopeo.write_text(f"""#!/bin/bash
[ "$*" = "copy --quiet -- docker://quay.example/ovmf:1 $5" ] || exit 9
dir=${{5#oci:}}; dir=${{dir%:image}}
/bin/cp -r {tmp_path}/layout/. "$dir"
""")
    skopeo.chmod(0o755)
    found = json.loads(extract(*argv, env=env).out)
    assert found["source"] == "docker://quay.example/ovmf:1" and (tmp_path / "out/OVMF_CODE.fd").read_bytes() == FIRMWARE
    assert not any((tmp_path / "tmp").iterdir())
    skopeo.write_text("#!/bin/sh\necho no such image >&2; exit 1\n")
    done = extract(*argv[:2], status=1, env=env)
    assert "no such image" in done.err and "skopeo could not fetch 'docker://quay.example/ovmf:1'" in done.err
    assert not any((tmp_path / "tmp").iterdir())
