# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn-tunnel's files and ends: who adds at once loses nothing, links stay links, what is renewed is read, two services with one token leave each
other in peace, and a service without its way to the relay says so."""

import os
import signal
import subprocess
import time

import pytest
from test_tunnel import NAME, PROGRAM, Owner, Relay, certificate, wait


def add(*words):
    return subprocess.run([PROGRAM, "add", *map(str, words)], capture_output=True, text=True, check=False, timeout=60)


def test_many_that_add_at_once(tmp_path):
    started = [subprocess.Popen([PROGRAM, "add", f"t{n}", f"--tunnels={tmp_path}/tunnels", f"--token-file={tmp_path}/t{n}"]) for n in range(10)]
    assert [p.wait(60) for p in started] == [0] * 10
    assert sorted(line.split()[0] for line in (tmp_path / "tunnels").read_text().splitlines()) == sorted(f"t{n}" for n in range(10))


def test_the_list_stays_what_it_is(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("# ours\n")
    target.chmod(0o600)
    link.symlink_to(target)
    assert add("a", f"--tunnels={link}", f"--token-file={tmp_path}/a").returncode == 0
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o600 and target.read_text().startswith("# ours\na ")
    same = add("b", f"--tunnels={tmp_path}/same", f"--token-file={tmp_path}/same")
    assert same.returncode == 1 and "name the same file" in same.stderr and not (tmp_path / "same").exists()


@pytest.mark.parametrize("words, says", [(["--per-tunnel=300"], "--per-tunnel: expected 1 to 256"), (["--per-tunnel=0"], "--per-tunnel: expected 1 to 256"),
                                         (["--connections=100", "--per-tunnel=101"], "--per-tunnel: expected 1 to 100")])
def test_limits(tmp_path, words, says):
    certificate(tmp_path, "relay", NAME)
    done = subprocess.run([PROGRAM, "serve", f"--name={NAME}", f"--tls-cert={tmp_path}/relay.pem", f"--tls-key={tmp_path}/relay.key", f"--tunnels={tmp_path}/none",
                           *words], capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1 and says in done.stderr


def test_one_limit_alone(tmp_path):
    """The default of the other one is smaller then."""
    relay = Relay(tmp_path, "--connections=100")
    relay.stop()


def test_links_are_followed_when_they_change(tmp_path, platform):
    """As certificates are renewed by programs that keep them all: the name is a link, and leads to a new file then. A key that does not fit yet keeps
    no tunnel that was removed."""
    relay = Relay(tmp_path)
    relay.stop()
    for folder in ("live", "archive"):
        (tmp_path / folder).mkdir()
    for name in ("relay.pem", "relay.key"):
        (tmp_path / "archive" / f"1-{name}").write_bytes((tmp_path / name).read_bytes())
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(tmp_path / "archive" / f"1-{name}")
    relay.start()
    certificate(tmp_path / "archive", "relay", NAME, "127.0.0.1")

    def reload(*says):
        before = relay.log.read_bytes()
        relay.process.send_signal(signal.SIGHUP)
        wait(lambda: all(what in relay.log.read_bytes()[len(before):] for what in says))

    def turn(name):
        (tmp_path / f"{name}.new").symlink_to(tmp_path / "archive" / name)
        os.replace(tmp_path / f"{name}.new", tmp_path / name)

    reload(b"1 tunnels, and the certificate that was read now")
    turn("relay.pem")
    (tmp_path / "tunnels").write_text("")
    reload(b"SIGHUP: 0 tunnels\n", b"the certificate that was read before stays in use: --tls-cert, --tls-key")
    turn("relay.key")
    reload(b"0 tunnels, and the certificate that was read now")
    relay.stop()


def test_two_services_with_one_token(tmp_path, platform):
    """They would take the place of each other as fast as they connect."""
    relay = Relay(tmp_path)
    owners = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("alice.token", "relay-ca.pem"):
            (folder / file).write_bytes((tmp_path / file).read_bytes())
        owners.append(Owner(folder, platform, relay.port))
    wait(lambda: all(o.ups() for o in owners))
    time.sleep(6)
    assert sum(o.ups() for o in owners) <= 3
    assert any("another service with the same token took its place" in o.service.text() for o in owners)
    for o in owners:
        o.service.stop()
    relay.stop()


def test_without_its_way_to_the_relay_a_service_ends(tmp_path, platform):
    relay = Relay(tmp_path)
    owner = Owner(tmp_path, platform, relay.port)
    wait(lambda: owner.ups() == 1)
    pid = owner.service.process.pid
    (child,) = [int(c) for c in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    os.kill(child, signal.SIGKILL)
    assert owner.service.process.wait(30) == 1
    assert "--via: the process that connects to the relay has ended" in owner.service.text()
    relay.stop()
