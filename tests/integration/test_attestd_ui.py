# SPDX-License-Identifier: LGPL-2.1-or-later
"""The owner's page of the attestation service: its headers, and what it does in a real Chromium, with the keyboard only."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attestd_service import DIGEST, Service, made_up, registration
from sevsim_host import skip_or_fail
from test_attestd_certificates import add_owner, ask, authority  # noqa: F401

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from attestd_psp import Psp  # noqa: E402
from browser import Browser  # noqa: E402

EVIL = """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'&amp;"""
POLICY = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'",
          "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'"}


def fetch(service, path, *words):
    """(status, headers, body)"""
    done = subprocess.run(["curl", "-sS", "-i", "--http1.1", "--max-time", "30", "--cacert", service.folder / "state/ca.pem", *words, service.url + path],
                          capture_output=True, text=True, check=True)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    return int(lines[0].split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, body


def test_pages_and_their_headers(tmp_path):
    s = Service(tmp_path, "--prefix=/attest")
    for name, kind, source in (("", "text/html", "index.html"), ("page.js", "text/javascript", "page.js"), ("style.css", "text/css", "style.css")):
        status, headers, body = fetch(s, f"/ui/{name}")
        assert status == 200 and body == (SOURCE / "attestd/ui" / source).read_text()
        assert headers["content-type"] == f"{kind}; charset=utf-8"
        assert dict(d.strip().split(" ", 1) for d in headers["content-security-policy"].split(";")) == POLICY
        assert (headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"]) == ("nosniff", "no-referrer", "no-store")
        assert (headers["cross-origin-opener-policy"], headers["cross-origin-resource-policy"]) == ("same-origin", "same-origin")
    status, headers, _ = fetch(s, "/ui")
    assert (status, headers["location"]) == (308, "ui/")
    assert fetch(s, "/ui", "-L")[0] == 308  # and after it:
    assert "<title>cvmspawn-attestd" in fetch(s, "/ui", "-L")[2]
    for path in ("/ui/other", "/ui/../ui/x", "/ui//", "/ui/page.js/"):
        assert fetch(s, path, "--path-as-is")[0] == 404
    for words in (("-X", "POST"), ("-X", "DELETE"), ("--data-binary", "x" * 5000)):
        status, headers, body = fetch(s, "/ui/", *words)
        assert (status, headers["allow"], json.loads(body)["code"]) == (405, "GET", "method-not-allowed")
    assert fetch(s, "/ui/", "-I")[0] == 200
    s.stop()


def test_pages_load_nothing_from_elsewhere():
    text = "".join((SOURCE / "attestd/ui" / n).read_text() for n in ("index.html", "page.js", "style.css"))
    assert not re.search(r"https?://|url\(|@import|innerHTML|insertAdjacent|document\.write|eval|localStorage|sessionStorage|cookie|style=|\son\w+=", text)


def test_pages_of_other_sites_do_not_act_for_an_owner(tmp_path, authority):  # noqa: F811
    """A browser sends its user's certificate with what any page asks for; it says so, and then the certificate does not count."""
    s = Service(tmp_path)
    authority.self_signed("alice")
    add_owner(s, "alice", f"--owner-cert={authority.folder}/alice.pem")
    assert ask(s, authority, "alice", "POST", "/vm/a", registration())[0] == 201
    certificate = ("--cert", authority.folder / "alice.pem", "--key", authority.folder / "alice.key")
    for site, status in (("cross-site", 401), ("same-site", 401), ("same-origin", 200), ("none", 200)):
        assert fetch(s, "/vm/a", *certificate, "-H", f"Sec-Fetch-Site: {site}")[0] == status, site
    found = json.loads(fetch(s, "/certificates", *certificate)[2])
    assert [c["use"] for c in found] == ["server", "owner"] and 86400 < found[1]["expires"] - found[0]["expires"] + 10 * 86400
    # a token is not sent by a browser on its own
    assert fetch(s, "/vm", "-H", f"Authorization: Bearer {s.token}", "-H", "Sec-Fetch-Site: cross-site")[0] == 200
    s.stop()


class Held:
    """A service with one launch released, two that wait, and one refused."""

    def __init__(self, folder, platform):
        self.psp = Psp(platform)
        self.service = made_up(folder, platform)
        c = self.service.connect()
        body = registration(**{"over-limit": "hold", "description": {"name": EVIL}})
        assert c.request("POST", "/vm/web-1", body, self.service.token)[0] == 201
        opened, said = self.begin(c)
        assert c.request("POST", "/vm/web-1/validate", said)[0] == 200
        self.waiting = []
        for _ in range(2):
            opened, said = self.begin(c)
            assert c.request("POST", "/vm/web-1/validate", said)[0] == 202
            self.waiting.append(said)
        opened, _ = self.begin(c)
        assert c.request("POST", "/vm/web-1/validate", self.psp.measured(opened, "66" * 32))[0] == 403
        c.close()

    def begin(self, c):
        status, opened = c.request("POST", "/vm/web-1/launch", self.psp.launch())
        assert status == 200, opened
        return opened, self.psp.measured(opened, DIGEST)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not shutil.which("chromium"):
        skip_or_fail("chromium is not installed (Debian package chromium)")
    b = Browser(tmp_path_factory.mktemp("chromium"), "--ignore-certificate-errors")
    yield b
    b.close()


@pytest.fixture
def held(tmp_path, platform):
    h = Held(tmp_path, platform)
    yield h
    h.service.stop()


TEXT = "document.body.innerText"


def sign_in(b, service, token=None):
    b.open(service.url + "/ui/")
    assert b.value("document.activeElement.id") == "token"
    b.type(token or service.token.strip())
    b.key("Enter")


@pytest.mark.full
def test_confirm_and_reject_by_keyboard(held, chromium):
    b, s = chromium, held.service
    first, second = (said["launch-id"] for said in held.waiting)
    sign_in(b, s)
    b.wait("!document.getElementById('main').hidden")
    text = b.value(TEXT)
    assert "waiting for confirmation (2)" in text and first in text and second in text and "limit 1 in instance-window" in text
    assert "measurement-mismatch" in text and "amd-sev-es" in text and "TLS certificate of the service" in text and "0x7" in text
    # Escape, and Cancel, which has the focus, change nothing
    for key in ("Escape", "Enter"):
        b.tab_to(f"confirm-{first}")
        b.key("Enter")
        b.wait("document.getElementById('ask').open")
        assert first in b.value("document.getElementById('ask').innerText") and b.value("document.activeElement.id") == "ask-no"
        b.key(key)
        b.wait("!document.getElementById('ask').open")
    c = s.connect()
    assert {x["state"] for x in c.request("GET", "/vm/web-1/launches", token=s.token)[1] if x["launch-id"] in (first, second)} == {"held"}
    for launch, word in ((first, "confirm"), (second, "reject")):
        b.tab_to(f"{word}-{launch}")
        b.key("Enter")
        b.wait("document.getElementById('ask').open")
        b.tab_to("ask-yes")
        b.key("Enter")
        b.wait(f"!document.getElementById('{word}-{launch}')")
        assert launch in b.value("document.getElementById('status').innerText")
    b.wait(f"{TEXT}.includes('waiting for confirmation (0)')")
    status, packet = c.request("POST", "/vm/web-1/validate", held.waiting[0])
    assert status == 200 and "secret-payload" in packet
    assert c.request("POST", "/vm/web-1/validate", held.waiting[1])[0] == 410
    b.tab_to("refresh")
    b.key("Enter")
    b.wait(f"{TEXT}.includes('launch-burned')")  # why the last one was refused
    # the token is in memory only, and nothing is left when it is to be forgotten
    assert b.value("localStorage.length + sessionStorage.length + document.cookie.length") == 0 and s.token.strip() not in b.value("document.documentElement.outerHTML")
    b.tab_to("sign-out")
    b.key("Enter")
    assert "web-1" not in b.value("document.documentElement.outerHTML") and b.value("document.activeElement.id") == "token"
    assert {u for u in b.requested() if not u.startswith((s.url + "/", "about:", "data:"))} == set()
    c.close()


@pytest.mark.full
def test_a_wrong_token_shows_nothing(held, chromium):
    b = chromium
    sign_in(b, held.service, "not-" + held.service.token.strip())
    b.wait(f"{TEXT}.includes('only a guest owner may do this')")
    assert b.value("document.getElementById('main').hidden") and "web-1" not in b.value("document.documentElement.outerHTML")
    b.key("Enter")  # none at all
    b.wait("document.getElementById('status').className === 'bad'")
    assert "web-1" not in b.value("document.documentElement.outerHTML")


@pytest.mark.full
def test_markup_is_text_and_it_fits_360_pixels(held, chromium):
    b = chromium
    b.width(360)
    sign_in(b, held.service)
    b.wait("!document.getElementById('main').hidden")
    assert EVIL.replace('"', '\\"') in b.value(TEXT)
    assert b.value("[...document.querySelectorAll('img, script:not([src]), [onerror]')].length") == 0 and b.value("typeof window.hacked") == "undefined"
    b.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    widest = """Math.max(...[...document.querySelectorAll('body *')].map((e) => Math.max(e.getBoundingClientRect().right, e.scrollWidth)))"""
    assert 300 <= b.value(widest) <= 360 and b.value("document.documentElement.scrollWidth") <= 360
    launch = held.waiting[0]["launch-id"]
    b.value(f"document.getElementById('confirm-{launch}').click()")
    b.wait("document.getElementById('ask').open")
    assert b.value("document.getElementById('ask').getBoundingClientRect().right") <= 360
    b.key("Escape")


@pytest.mark.full
def test_the_policy_of_the_page_holds(held, chromium):
    """What a fault of the page's script could do is refused by the browser."""
    b = chromium
    b.open(held.service.url + "/ui/")
    for attempt in ("document.body.innerHTML = '<b>x</b>'", "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')"):
        assert b.value(f"(() => {{ try {{ {attempt}; return 'done'; }} catch (e) {{ return e.name; }} }})()") == "TypeError"
    b.value("(() => { const i = document.createElement('img'); i.src = '/ui/style.css'; document.body.append(i); })()")
    b.value("fetch('http://127.0.0.1:1/').catch(() => 0)")
    b.wait("1")
    said = json.dumps([e for e in b.events if e["method"] == "Log.entryAdded"])
    assert "img-src" in said or "default-src" in said
    assert "connect-src" in said
