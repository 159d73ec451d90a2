# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cvmspawn attest-domain` with a host whose libvirt answers what no libvirt does: values of wrong types, XML and certificates that are none. The
stand-in is that of test_attest_domain.py."""

import pytest
from test_attest_domain import INJECT, SECRET, Host, platform  # noqa: F401


def not_let_in(host, done):
    """None, or what went wrong: a documented status, one message, no packet, no first instruction."""
    told = host.log()
    if done.returncode not in (1, 2, 3, 4) or len([line for line in done.stderr.splitlines() if "warning" not in line]) != 1 or done.stdout:
        return f"{done.returncode}, {done.stderr[:500]!r}, {done.stdout!r}"
    if "resume" in told or any(isinstance(what, tuple) for what in told) or SECRET.decode() in done.stderr or len(done.stderr) > 2000:
        return f"{told}, {done.stderr[:500]!r}"
    return None


ANSWERS = {
    "sev-measurement": ["", "!", "A" * 60, "A" * 68, "A" * 1000000, 7, None, "\x1b[2J" * 16],
    "sev-api-major": ["1", 1 << 31, -1, None],
    "sev-api-minor": ["55", 300, None],
    "sev-build-id": ["21", 1 << 20, None],
    "sev-policy": ["3", 0xFFFFFFFF, None],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_wrong_types(tmp_path, platform, name):  # noqa: F811
    found = []
    for number, value in enumerate(ANSWERS[name]):
        host = Host(tmp_path, platform, lies={"answer": {name: value}})
        problem = not_let_in(host, host.run(INJECT, f"--name=n{number}"))
        found += [f"{value!r:.40}: {problem}"] if problem else []
    assert not found, found


def test_configurations_that_are_none(tmp_path, platform):  # noqa: F811
    """What the host calls the domain's XML: nothing is started from it, and no file of the owner's is read for it."""
    good = Host(tmp_path, platform).xml
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    found = []
    wrong = {
        "nothing": "", "text": "web1", "cut": good[: len(good) // 2], "empty": "<domain/>", "another root": good.replace("domain", "network"),
        "no launch security": good[: good.index("<launchSecurity")] + "</domain>", "twice": good + good, "deep": "<domain>" * 20000,
        "two of them": good.replace("</launchSecurity>", "</launchSecurity><launchSecurity type='sev'><policy>0x0000</policy></launchSecurity>"),
        "laughs": f'<!DOCTYPE domain [<!ENTITY l0 "ha">{laughs}]>' + good.replace("console=ttyS0", "&l9;"),
        "a file of the owner's": f'<!DOCTYPE domain [<!ENTITY f SYSTEM "file://{tmp_path}/pw">]>' + good.replace("console=ttyS0", "&f;"),
        "a policy that is none": good.replace("0x0003", "0xfffffffff"), "no name of a kernel": good.replace("/kernel</kernel>", "/none</kernel>"),
        "a directory for a kernel": good.replace("/kernel</kernel>", "</kernel>"), "huge": good.replace("console=ttyS0", "x" * (8 << 20)),
    }  # fmt: skip
    for number, (what, xml) in enumerate(wrong.items()):
        host = Host(tmp_path, platform)
        host.data["domains"][0]["xml"] = xml
        problem = not_let_in(host, host.run(INJECT, f"--name=n{number}"))
        found += [f"{what}: {problem}"] if problem else []
    assert not found, found


def test_platforms_that_are_none(tmp_path, platform):  # noqa: F811
    found = []
    for number, (name, value) in enumerate((n, v) for n in ("pdh", "cert-chain", "cpu0-id") for v in ("", "!", "AAAA", "A" * 400000, 7, None)):
        host = Host(tmp_path, platform)
        host.data["sev"][name] = value
        done = host.run(INJECT, f"--name=n{number}")
        if name == "cpu0-id" and done.returncode == 0:  # is only asked for where a certificate is missing
            continue
        problem = not_let_in(host, done)
        found += [f"{name} {value!r:.20}: {problem}"] if problem else []
    assert not found, found


@pytest.mark.parametrize("call", ["open", "start", "inject", "resume"])
def test_a_libvirt_that_does_not_answer(tmp_path, platform, call):  # noqa: F811
    host = Host(tmp_path, platform)
    host.data["hang"] = call
    done = host.run(INJECT, "--timeout=1500ms")
    told = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert done.returncode == 1 and len(told) == 1 and not done.stdout, done
    assert told[0].startswith("cvmspawn attest-domain: libvirt did not answer vir") and "within 2 s" in told[0], told
    assert "resume" not in host.log()
