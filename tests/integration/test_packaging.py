# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages and releases when something is wrong: a full disk, an interruption, a missing module or key. One message, and no half result. And that
the recipe for rpm builds."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import SOURCE, skip_or_fail

VERSION = re.search(r"version : '([^']+)'", (SOURCE / "meson.build").read_text())[1]
PACKAGE_VERSION = re.match(r"cvmspawn \((.*?)\)", (SOURCE / "debian/changelog").read_text())[1]
STUB = """#!/bin/bash
set -e
[ -z "$STUB_WAIT" ] || { : >"$STUB_WAIT"; sleep 60; }
mkdir -p ../tree/DEBIAN
printf 'Package: cvmspawn\\nVersion: %s\\nArchitecture: amd64\\nMaintainer: x\\nDescription: x\\nRecommends: libzstd1\\n' "$STUB_VERSION" >../tree/DEBIAN/control
head -c "${STUB_SIZE:-1}" /dev/urandom >../tree/data
dpkg-deb --root-owner-group -Znone -b ../tree "../cvmspawn_${STUB_VERSION}_amd64.deb"
for name in dsc tar.xz buildinfo changes; do echo x >"../cvmspawn_$STUB_VERSION.$name"; done
"""


@pytest.fixture
def clone(tmp_path):
    """HEAD, with the tools as they are now, and a dpkg-buildpackage that makes one package at once."""
    if not (SOURCE / ".git").exists():
        skip_or_fail("this is not a clone of the repository")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--shared", SOURCE, clone], check=True, timeout=120)
    for tool in (SOURCE / "tools").iterdir():
        if tool.is_file():
            shutil.copy2(tool, clone / "tools")
    git = ["git", "-C", clone, "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "commit", "-qam", "tools"], check=False, timeout=60)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dpkg-buildpackage").write_text(STUB)
    (tmp_path / "bin/dpkg-buildpackage").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    return clone


def environment(tmp_path, **more):
    return {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp"), "STUB_VERSION": PACKAGE_VERSION, **more}


def run(*command, **options):
    return subprocess.run([str(word) for word in command], **{"capture_output": True, "text": True, "timeout": 300, "check": False, **options})


def on_small_disk(place, size, *command, env):
    if os.geteuid() != 0:
        skip_or_fail("mounting a small disk needs root")
    script = 'mount -t tmpfs -o "size=$2" tmpfs "$1" && echo old >"$1/cvmspawn_0_amd64.deb"; shift 2; "$@"; s=$?; find "$0" ; exit $s'
    return run("unshare", "-m", "sh", "-c", script, place, place, size, *command, env=env)


def test_full_disk_while_building(clone, tmp_path):
    done = on_small_disk(tmp_path / "tmp", "4m", clone / "tools/build-deb", "--no-setup", tmp_path / "out", env=environment(tmp_path))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "no space left" in last and "set TMPDIR" in last, done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert done.stdout.splitlines() == [str(tmp_path / "tmp"), str(tmp_path / "tmp/cvmspawn_0_amd64.deb")]


def test_full_folder(clone, tmp_path):
    """The packages do not fit where they are wanted: what was there stays, and nothing is added."""
    out = tmp_path / "out"
    out.mkdir()
    done = on_small_disk(out, "1m", clone / "tools/build-deb", "--no-setup", out, env=environment(tmp_path, STUB_SIZE="3000000"))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "cannot be copied" in last and "no space left" in last, done.stderr
    assert done.stdout.splitlines() == [str(out), str(out / "cvmspawn_0_amd64.deb")]
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_interrupted(clone, tmp_path, number, status):
    waiting = tmp_path / "waiting"
    process = subprocess.Popen([clone / "tools/build-deb", "--no-setup", tmp_path / "out"], env=environment(tmp_path, STUB_WAIT=str(waiting)),
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(600):
        if waiting.exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, number)
    process.communicate(timeout=300)
    assert process.returncode == status
    assert list((tmp_path / "out").iterdir()) == [] and list((tmp_path / "tmp").iterdir()) == []


def test_failed_build(clone, tmp_path):
    (tmp_path / "bin/dpkg-buildpackage").write_text("#!/bin/sh\necho 'the compiler says no' >&2\nexit 2\n")
    done = run(clone / "tools/build-deb", "--no-setup", tmp_path / "out", env=environment(tmp_path))
    assert done.returncode == 1 and "the compiler says no" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("build-deb: dpkg-buildpackage failed (exit status 2)")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("tool, arguments, words", [
    ("build-deb", ["--suite=wheezy"], "expected --suite=bookworm"), ("build-deb", ["--frob"], "unknown option '--frob'"),
    ("build-deb", ["a", "b"], "one FOLDER"), ("try-fresh", ["--debs=x"], "belong to 'try-fresh deb'"),
    ("try-fresh", ["deb", "--debs=/nonexistent"], "has no package cvmspawn"), ("try-fresh", ["deb", "--command=x"], "no --command="),
    ("try-packages", ["x"], "not a root of tools/try-fresh"), ("release", [], "no FOLDER"), ("release", ["/nonexistent/x", "--no-guest"], "does not exist"),
    ("release", ["x"], "no --key="), ("release", ["x", "--key=/nonexistent"], "cannot be read"), ("release", ["/", "--no-guest"], "exists"),
    ("release", ["x", "--no-guest", "--frob"], "unknown option")])  # fmt: skip
def test_wrong_arguments(tool, arguments, words, tmp_path):
    if not shutil.which("dpkg-deb") and tool != "release":
        skip_or_fail("this is not Debian")
    done = run(SOURCE / "tools" / tool, *arguments, cwd=tmp_path)
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def commit(clone, path, old, new):
    text = (clone / path).read_text()
    assert old in text
    (clone / path).write_text(text.replace(old, new, 1))
    run("git", "-C", clone, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qam", path)


def test_release_that_is_not_ready(clone, tmp_path):
    commit(clone, "data/packaging/arch/PKGBUILD", f"pkgver={VERSION}", "pkgver=9.9.9")
    commit(clone, "NEWS.md", f"## {VERSION}", "## 9.8.7")
    done = run(clone / "tools/release", "--no-guest", tmp_path / "out", env=environment(tmp_path))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    for words in ("PKGBUILD has another version", "the first heading of NEWS.md is '9.8.7", f"HEAD has no tag v{VERSION}"):
        assert words in done.stderr, done.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()


@pytest.fixture
def debs(clone, tmp_path):
    assert run(clone / "tools/build-deb", "--no-setup", tmp_path / "debs", env=environment(tmp_path)).returncode == 0
    return tmp_path / "debs"


def check_sums(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    named = {line[66:] for line in lines}
    assert named == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS"}
    for line in lines:
        assert hashlib.sha256((folder / line[66:]).read_bytes()).hexdigest() == line[:64]
    return lines


def test_release(clone, debs, tmp_path):
    """Twice, in two places: the same files."""
    results = []
    for out in (tmp_path / "one", tmp_path / "another"):
        done = run(clone / "tools/release", "--draft", "--no-guest", f"--debs={debs}", out, env=environment(tmp_path))
        assert done.returncode == 0, done.stderr
        results.append(check_sums(out))
    assert results[0] == results[1]
    assert sorted(p.name for p in out.iterdir()) == ["SHA256SUMS", f"cvmspawn-{VERSION}.spdx.json", f"cvmspawn-{VERSION}.tar.xz", "debian"]
    names = run("tar", "-tf", out / f"cvmspawn-{VERSION}.tar.xz").stdout.splitlines()
    assert all(name.startswith(f"cvmspawn-{VERSION}/") for name in names) and f"cvmspawn-{VERSION}/meson.build" in names
    check_sbom(json.loads((out / f"cvmspawn-{VERSION}.spdx.json").read_text()), out)


def check_sbom(sbom, out):
    """The members that SPDX 2.3 requires, references that resolve, and digests that are those of the files."""
    assert (sbom["spdxVersion"], sbom["dataLicense"], sbom["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sbom["creationInfo"]["created"]) and sbom["documentNamespace"].startswith("https://")
    ids = [package["SPDXID"] for package in sbom["packages"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    for relation in sbom["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= {*ids, "SPDXRef-DOCUMENT"}, relation
    files = {package["packageFileName"]: package["checksums"][0]["checksumValue"] for package in sbom["packages"] if "checksums" in package}
    for path in [*out.glob("*.tar.xz"), *(out / "debian").glob("*.deb")]:
        assert files.pop(path.name) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files == {}
    assert {"spdxElementId": "SPDXRef-Library-libzstd1", "relationshipType": "OPTIONAL_DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-Deb-cvmspawn"} \
        in sbom["relationships"]


@pytest.mark.full
def test_release_with_guest(clone, debs, tmp_path, artifacts):
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    run("openssl", "pkey", "-in", key, "-pubout", "-out", public)
    build = os.environ.get("CVMSPAWN_BUILD", str(SOURCE / "b"))
    out = tmp_path / "out"
    done = run(clone / "tools/release", "--draft", f"--key={key}", f"--debs={debs}", out, env=environment(tmp_path, CVMSPAWN_BUILD=build))
    assert done.returncode == 0, done.stderr
    check_sums(out)
    refs = out / f"cvmspawn-guest-{VERSION}.refs"
    assert run(f"{build}/programs/cvmspawn", "refs", "verify", f"--signer={public}", refs).returncode == 0
    assert (out / "guest" / artifacts["INITRD"].name).exists() and oct(out.stat().st_mode & 0o777) == "0o755"
    assert "PRIVATE KEY" not in "".join(p.read_text(errors="replace") for p in out.rglob("*") if p.is_file() and p.stat().st_size < 1 << 20)


def test_full_disk_while_releasing(clone, debs, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    done = on_small_disk(place, "1m", clone / "tools/release", "--draft", "--no-guest", f"--debs={debs}", place / "out", env=environment(tmp_path))
    assert done.returncode == 1 and "could not be written" in done.stderr.splitlines()[-1], done.stderr
    assert done.stdout.splitlines() == [str(place), str(place / "cvmspawn_0_amd64.deb")]


HOOKS = {
    "initramfs-tools/hook": ('export version=6.1.0-x; . "$1"', "manual_add_modules() { :; }\ncopy_exec() { :; }\n"),
    "dracut/module-setup.sh": ('kernel=6.1.0-x; instmods() { :; }; dwarn() { echo "$*" >&2; }; . "$1"; installkernel', ""),
}


@pytest.mark.parametrize("lacking", ["", "sev-guest", "virtio_console"])
@pytest.mark.parametrize("hook", HOOKS)
def test_missing_module(hook, lacking, tmp_path):
    """A kernel that lacks a module: one warning that names it, and an initrd all the same."""
    script, functions = HOOKS[hook]
    (tmp_path / "functions").write_text(functions)
    text = (SOURCE / "data/initrd" / hook).read_text().replace("/usr/share/initramfs-tools/hook-functions", str(tmp_path / "functions"))
    (tmp_path / "hook").write_text(text)
    (tmp_path / "bin").mkdir()
    for name, body in {"modinfo": f'[ "$3" != "{lacking}" ]', "cvmspawn-guest": "", "cvmspawn-guest-attest": ""}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    done = run("bash", "-c", script, "bash", tmp_path / "hook", env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == bool(lacking) and all(f"Linux 6.1.0-x has no module '{lacking}'" in line for line in lines), lines


def test_missing_program(tmp_path):
    (tmp_path / "functions").write_text("manual_add_modules() { :; }\ncopy_exec() { :; }\nmodinfo() { :; }\n")
    text = (SOURCE / "data/initrd/initramfs-tools/hook").read_text().replace("/usr/share/initramfs-tools/hook-functions", str(tmp_path / "functions"))
    (tmp_path / "hook").write_text(text)
    done = run("sh", tmp_path / "hook", env={"PATH": "/nonexistent", "version": "6.1"}, executable="/bin/sh")
    assert done.returncode == 0 and done.stderr.count("is not installed") == 2, done.stderr


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source archive of a release, of what is committed."""
    if not (SOURCE / ".git").exists():
        skip_or_fail("this is not a clone of the repository")
    path = tmp_path_factory.mktemp("archive") / f"cvmspawn-{VERSION}.tar.xz"
    command = f"git -C '{SOURCE}' archive --prefix=cvmspawn-{VERSION}/ HEAD | xz -0 >'{path}'"
    assert run("sh", "-c", command).returncode == 0
    return path


def wanted(*listings, man):
    """The files of debian/*.install as another distribution has them."""
    for listing in listings:
        for line in (SOURCE / "debian" / f"{listing}.install").read_text().splitlines():
            if line and " " not in line:
                yield "/" + re.sub("^usr/share/man/.*", lambda m: m[0] + man, line)


@pytest.mark.soak
def test_rpm(archive, tmp_path):
    if not shutil.which("rpmbuild"):
        skip_or_fail("rpmbuild is missing: install rpm")
    (tmp_path / "SOURCES").mkdir()
    shutil.copy2(archive, tmp_path / "SOURCES")
    done = run("rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {tmp_path}", SOURCE / "data/packaging/rpm/cvmspawn.spec", timeout=1800)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    found = {}
    for path in tmp_path.glob("RPMS/*/*.rpm"):
        name = run("rpm", "-qp", "--qf", "%{NAME}", path).stdout
        found[name] = set(run("rpm", "-qpl", path).stdout.split())
    assert found.keys() == {"cvmspawn", "cvmspawn-owner", "cvmspawn-attestd", "cvmspawn-guest", "cvmspawn-sevsim", "python3-cvmspawn"}
    for name, files in found.items():
        expected = {f.replace("dist-packages", "site-packages") for f in wanted(name, man="*")}
        assert {re.sub(r"(/usr/share/man/.*\.\d)(\.gz)?$", r"\1*", f) for f in files if not re.search("/(doc|licenses|.build-id)(/|$)", f)} == expected, name


def test_nix_syntax(tmp_path):
    if not shutil.which("nix-instantiate"):
        pytest.skip("nix-instantiate is missing: the Nix expression's syntax was not read")
    done = run("nix-instantiate", "--parse", SOURCE / "data/packaging/nix/package.nix", env={**os.environ, "NIX_STATE_DIR": str(tmp_path / "state")})
    assert done.returncode == 0, done.stderr


