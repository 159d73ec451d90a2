# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/build-oci and tools/sbom-root: the SBOM of a made-up root, wrong arguments, and (soak) the image twice, with a guest that its programs boot."""

import json
import os
import subprocess

import pytest
from conftest import SOURCE
from sevsim_host import skip_or_fail

BUILD, SBOM = SOURCE / "tools/build-oci", SOURCE / "tools/sbom-root"
STATUS = """Package: libone
Status: install ok installed
Architecture: amd64
Source: one (1.0)
Version: 1:1.0~rc1+b1
Depends: libtwo (>= 2) | libother, libgone

Package: libtwo
Status: install ok installed
Architecture: all
Version: 2-1

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 3
"""


def test_sbom(tmp_path):
    (tmp_path / "status").write_text(STATUS)
    texts = {subprocess.run([SBOM, "image", tmp_path / "status", "1000000000"], capture_output=True, text=True, check=True, timeout=30).stdout for _ in range(2)}
    assert len(texts) == 1
    document = json.loads(texts.pop())
    assert document["spdxVersion"] == "SPDX-2.3" and document["creationInfo"]["created"] == "2001-09-09T01:46:40Z"
    assert [(p["name"], p["versionInfo"], p["externalRefs"][0]["referenceLocator"], p["sourceInfo"]) for p in document["packages"]] == [
        ("libone", "1:1.0~rc1+b1", "pkg:deb/debian/libone@1%3A1.0~rc1+b1?arch=amd64", "built from Debian source package one"),
        ("libtwo", "2-1", "pkg:deb/debian/libtwo@2-1?arch=all", "built from Debian source package libtwo")]  # fmt: skip
    relations = [(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in document["relationships"]]
    assert ("SPDXRef-libone", "DEPENDS_ON", "SPDXRef-libtwo") in relations and len(relations) == 3
    (tmp_path / "empty").write_text("")
    done = subprocess.run([SBOM, "image", tmp_path / "empty", "0"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr == f"sbom-root: {tmp_path}/empty names no installed package\n"


@pytest.mark.parametrize(("words", "why"), [(["--none"], "unknown option '--none'"), (["a", "b"], "one FOLDER at a time"), (["{folder}"], "exists already"),
                                            (["--packages={folder}", "{folder}/new"], "has no package cvmspawn of version")])  # fmt: skip
def test_wrong_arguments(tmp_path, words, why):
    if os.geteuid() != 0:
        skip_or_fail("making a root needs root")
    done = subprocess.run([BUILD, *(w.format(folder=tmp_path) for w in words)], capture_output=True, text=True, timeout=300, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 1 and why in done.stderr.splitlines()[-1] and list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_image_twice(tmp_path, artifacts):
    """The digest is the same, and the image's program boots a guest as the image's user."""
    if os.geteuid() != 0:
        skip_or_fail("making a root needs root")
    subprocess.run([SOURCE / "tools/build-deb", tmp_path / "debs"], check=True, timeout=3600)
    digests = [subprocess.run([BUILD, f"--packages={tmp_path}/debs", tmp_path / name], check=True, stdout=subprocess.PIPE, text=True, timeout=3600).stdout for name in ("one", "two")]
    assert digests[0] == digests[1] and digests[0].startswith("sha256:")
    assert (tmp_path / "one.spdx.json").read_bytes() == (tmp_path / "two.spdx.json").read_bytes()
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/one:cvmspawn", tmp_path / "bundle"], check=True, timeout=600)
    root = tmp_path / "bundle/rootfs"
    for name in ("KERNEL", "INITRD"):
        (root / name).write_bytes(artifacts[name].read_bytes())
    script = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot --userspec=1000:1000 "$0" "$@"'
    done = subprocess.run(["unshare", "-m", "-p", "-f", "sh", "-c", script, root, "/usr/bin/cvmspawn", "--linux=/KERNEL", "--initrd=/INITRD", "--kvm=no", "--timeout=4min",
                           "--run=echo booted"], capture_output=True, text=True, timeout=300)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "booted\n"), done.stderr
