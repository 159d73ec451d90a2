# SPDX-License-Identifier: LGPL-2.1-or-later
"""meson install into a prefix that nobody would choose, with spaces: programs, completions, manual pages, units, profile, module and shell
functions work from there."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys

import pytest
from conftest import SOURCE, skip_or_fail
from sevsim_host import build_folder

pytestmark = pytest.mark.full
BUILD_SECONDS = 900
VERBS = re.findall(r'\{ "([^"]+)", "(\w+)"', (SOURCE / "programs/verbs.inc").read_text())


def run(*command, **options):
    return subprocess.run([str(word) for word in command], **{"capture_output": True, "text": True, "timeout": 120, "check": False, **options})


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    prefix = folder / "a strange prefix, 100% ü"
    for command in (["meson", "setup", folder / "build", SOURCE, f"--prefix={prefix}", "-Dtests=false", "-Doptimization=1", "-Ddebug=false"],
                    ["ninja", "-C", folder / "build"], ["meson", "install", "-C", folder / "build", "--no-rebuild"]):
        done = run(*command, timeout=BUILD_SECONDS)
        if done.returncode != 0:
            pytest.fail(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    shutil.rmtree(folder / "build")  # nothing may need it
    for above in (folder, *folder.parents):
        if above.owner() == folder.owner() and not above.stat().st_mode & stat.S_IXOTH:
            above.chmod(above.stat().st_mode | stat.S_IXOTH)
    return prefix


def test_nothing_elsewhere(prefix):
    """The list is that of the packages, below the prefix."""
    found = {p.relative_to(prefix).as_posix() for p in prefix.rglob("*") if not p.is_dir() and "__pycache__" not in p.parts}
    wanted = set()
    for listing in (SOURCE / "debian").glob("*.install"):
        wanted |= {line.removeprefix("usr/") for line in listing.read_text().splitlines() if line and " " not in line}
    module = {f for f in found if "/cvmspawn/" in f and f.endswith(".py")}
    assert {os.path.basename(f) for f in module} == {"__init__.py", "sevsim.py"}
    assert found - module == {f for f in wanted if "dist-packages" not in f}


@pytest.mark.parametrize("verb, zone", VERBS)
def test_verb(prefix, verb, zone):
    done = run(prefix / "bin/cvmspawn", *verb.split(), "--help")
    assert done.returncode == 0 and done.stdout, done.stderr
    assert zone in ("host", "verifier")


def test_programs(prefix):
    for program in [*(prefix / "bin").iterdir(), *(prefix / "libexec/cvmspawn").iterdir()]:
        if program.suffix in (".so", ".cpio") or program.name.startswith("clevis-"):
            continue
        done = run(program, "--help", stdin=subprocess.DEVNULL)
        # Two helpers of the simulated host have arguments and no options.
        assert "--help" in done.stdout or program.name.startswith("sevsim-"), (program, done.stderr)


def test_launch(prefix, artifacts):
    options = [f"--qemu={artifacts['QEMU']}", f"--linux={artifacts['KERNEL']}", f"--initrd={artifacts['INITRD']}"]
    done = run(prefix / "bin/cvmspawn", "--quiet", *options, "--run=echo from there; exit 7", timeout=300)
    assert (done.returncode, done.stdout) == (7, "from there\n"), done.stderr
    done = run(prefix / "bin/cvmspawn", *options, "--coco=sev-snp", f"--firmware={artifacts['FIRMWARE']}", "--print=digest")
    assert re.search(r"\b[0-9a-f]{96}\b", done.stdout), done.stderr


def test_sevsim(prefix, tmp_path):
    """LD_PRELOAD cannot have a space: the library is copied. Where that has one, too, it is refused."""
    done = run(prefix / "bin/cvmspawn", "sevsim", "--", "stat", "-c", "%t:%T", "/dev/sev")
    assert done.returncode == 0 and done.stdout.startswith("a:7c\n"), (done.stdout, done.stderr)
    (tmp_path / "a b").mkdir()
    done = run(prefix / "bin/cvmspawn", "sevsim", "--", "true", env={**os.environ, "TMPDIR": str(tmp_path / "a b")})
    assert done.returncode == 1 and "set TMPDIR to another folder" in done.stderr and list((tmp_path / "a b").iterdir()) == []


def test_completions(prefix):
    script = r"""
        source "$1"
        COMP_WORDS=(cvmspawn --eph) COMP_CWORD=1 COMPREPLY=()
        $(complete -p cvmspawn | sed 's/.*-F \([^ ]*\).*/\1/') cvmspawn --eph cvmspawn
        printf '%s\n' "${COMPREPLY[@]}"
    """
    done = run("bash", "--norc", "-c", script, "bash", prefix / "share/bash-completion/completions/cvmspawn")
    assert done.stdout.strip() == "--ephemeral", done.stderr
    for daemon in ("cvmspawn-attestd", "cvmspawn-collateral", "cvmspawn-tunnel"):
        done = run("bash", "--norc", "-c", 'source "$1"; complete -p "$2"', "bash", prefix / "share/bash-completion/completions" / daemon, daemon)
        assert done.returncode == 0 and daemon.replace("-", "_") in done.stdout, done.stderr
        assert (prefix / f"share/zsh/site-functions/_{daemon}").read_text().startswith(f"#compdef {daemon}\n")
    if not shutil.which("zsh"):
        skip_or_fail("zsh is missing")
    functions = prefix / "share/zsh/site-functions"
    done = run("zsh", "-f", "-c", 'fpath=("$1" $fpath); autoload -Uz compinit; compinit -u -d "$2"; whence -w _cvmspawn; print $_comps[cvmspawn]',
               "zsh", functions, prefix.parent / "zcompdump")
    assert done.stdout.split() == ["_cvmspawn:", "function", "_cvmspawn"], done.stderr


def test_manual(prefix):
    """All pages, as man(1) shows them to somebody whose MANPATH has the prefix."""
    if not shutil.which("man"):
        skip_or_fail("man is missing: install man-db")
    pages = sorted((prefix / "share/man").rglob("*.[178]"))
    assert len(pages) == len(list((SOURCE / "man").glob("*.scd")))
    for page in pages:
        done = run("man", "--warnings", "-P", "cat", page.name[:-2], env={**os.environ, "MANPATH": str(prefix / "share/man"), "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        assert done.returncode == 0 and page.name[:-2].upper() in done.stdout.upper(), (page, done.stderr)


def test_units_and_profile(prefix):
    units = sorted((prefix / "lib/systemd/system").glob("*.service"))
    assert len(units) == 6
    for unit in units:
        (line,) = re.findall(r"^ExecStart=(.*)", unit.read_text(), re.M)
        program = shlex.split(line)[0].replace("%%", "%")
        assert os.access(program, os.X_OK) and program.startswith(str(prefix)), line
    profile = prefix / "etc/apparmor.d/cvmspawn-attestd"
    assert f'"{prefix}/bin/cvmspawn-attestd" mr,' in profile.read_text()
    check_profile(profile)
    for script in [*(prefix / "lib/dracut").rglob("*.sh"), *(p for p in (prefix / "share/initramfs-tools").rglob("*") if p.is_file())]:
        assert run("bash", "-n", script).returncode == 0, script


def check_profile(profile):
    parser = shutil.which("apparmor_parser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not parser:
        skip_or_fail("apparmor_parser is missing: install apparmor")
    done = run(parser, "--skip-kernel-load", "--skip-cache", profile)
    assert done.returncode == 0, done.stderr
    return done


def test_profile_of_the_build(tmp_path):
    """The parser reads the shipped one, and refuses one with a flaw."""
    profile = build_folder() / "data/apparmor/cvmspawn-attestd"
    check_profile(profile)
    broken = tmp_path / "broken"
    broken.write_text(profile.read_text().replace("network inet stream,", "network inet steam,"))
    with pytest.raises(AssertionError):
        check_profile(broken)
    unit = (build_folder() / "data/units/cvmspawn-attestd.service").read_text()
    assert "AppArmorProfile=-cvmspawn-attestd\n" in unit  # the name in the profile; a kernel without AppArmor starts the service, too


def test_module_and_functions(prefix):
    (module,) = prefix.rglob("cvmspawn/sevsim.py")
    code = "import sys; from cvmspawn import sevsim; r = sevsim.Host(sys.argv[1]).run('echo', 'there'); print(sevsim.__file__, r.status, r.stdout)"
    env = {**os.environ, "PYTHONPATH": str(module.parents[1]), "CVMSPAWN": str(prefix / "bin/cvmspawn")}
    record = prefix.parent / "record"
    done = run(sys.executable, "-c", code, record, env=env)
    assert done.stdout == f"{module} 0 there\n\n", done.stderr
    done = run("sh", "-euc", '. "$1/share/cvmspawn/sevsim.sh"; sevsim_run "$2" echo there', "sh", prefix, record, env=env)
    assert done.stdout.startswith("there\n"), done.stderr
