# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pages of report verify and refs show: well-formed, self-contained, escaped to the letter, with enough contrast, and no wider than a telephone in a real
Chromium."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest
from snp_world import expect, run
from test_refs import PLATFORM, TCB, build, bundle, changed, signed, signers, world  # noqa: F401
from test_report_refs import reports, verify  # noqa: F401

EVIL = """<script>alert(1)</script>"'&amp; --><b onload=x>\N{SNOWMAN}"""
VOID = {"meta", "!doctype"}


class Page(html.parser.HTMLParser):
    """Tags that are opened and closed in order, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], set(), [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td"}


def checked(text):
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and page.tags <= ALLOWED and {"h1", "table"} <= page.tags
    assert set(page.attributes) <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope"}
    assert not re.search(r"https?://|url\(|@import", text)  # nothing from elsewhere
    return page


@pytest.fixture(scope="module")
def pages(world, bundle, reports, tmp_path_factory):  # noqa: F811
    """name: page"""
    folder = tmp_path_factory.mktemp("pages")
    evil = changed(bundle, folder / "evil.json", lambda j: (j.__setitem__("name", EVIL), j["launches"][0].__setitem__("name", EVIL),
                                                           j["launches"][0]["inputs"]["kernel"]["parts"][0].__setitem__("name", EVIL)))
    found = {"bundle": expect(run("refs", "show", "--html", bundle), 0).stdout, "evil bundle": expect(run("refs", "show", "--html", evil), 0).stdout,
             "verified": expect(verify(reports, ["row"], "--reference", bundle, "--html"), 0).stdout,
             "missed": expect(verify(reports, ["features"], "--reference", bundle, "--html"), 3).stdout,
             "evil": expect(verify(reports, ["row"], "--reference", evil, "--html"), 0).stdout,
             "several": expect(verify(reports, ["row", "other", folder / "none"], "--reference", bundle, "--html"), 1).stdout}
    return {name: (text, checked(text)) for name, text in found.items()}


def test_what_they_say(pages, bundle, reports):  # noqa: F811
    digests = [d for r in json.loads(bundle.read_text())["launches"][0]["rows"] for d in r["digests"]]
    text = pages["bundle"][1].text
    assert set(digests) <= set(text) and "Signatures NOT CHECKED: anybody can have written this bundle." in text and "bootloader 4, tee 0, snp 24, microcode 219" in text
    text = pages["verified"][1].text
    assert "verified against a root that is not AMD's" in text and digests[1] in text and any("row 2 vCPUs, EPYC-v4" in x for x in text)
    assert any("arXiv:2605.12990" in x for x in text) and "Not met" not in text
    parts = [p for x in json.loads(bundle.read_text())["launches"][0]["inputs"].values() for p in x["parts"]]
    assert len(parts) >= 3 and {p["sha256"] for p in parts} | {p["name"] for p in parts} <= set(text)
    text = pages["missed"][1].text
    assert {"policy-not-met", "Not met", "measurement"} <= set(text) and any("guest features 0x21 instead of 0x1" in x for x in text)
    titles = re.findall(r'<h1 class="(\w+)">([^<]*)', pages["several"][0])
    assert titles == [("warning", "verified against a root that is not AMD&#39;s"), ("bad", "policy-not-met"), ("bad", "unverified")]


def test_signed_bundle(world, signed):  # noqa: F811
    assert "Signatures verified." in checked(expect(run("refs", "show", "--html", signed, *signers(world, "ed")), 0).stdout).text


def test_escaped_to_the_letter(pages):
    """Markup in names is text, whole: the only parser's answer that counts is that the text comes out as it went in."""
    for name, times in (("evil bundle", 3), ("evil", 1)):
        text, page = pages[name]
        assert "<script" not in text and "<b " not in text and sum(EVIL in x for x in page.text) >= times


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), parts))


def test_contrast(pages):
    """WCAG 2.1, AA: 4.5 to 1 for each colour of text, in each of the three schemes."""
    schemes = re.findall(r":root\{([^}]*)\}", pages["verified"][0])
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", scheme))
        assert set(colours) == {"ground", "text", "faint", "line", "good", "warning", "bad"}
        for name in set(colours) - {"ground", "line"}:
            a, b = sorted((luminance(colours[name]), luminance(colours["ground"])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (name, scheme)


@pytest.mark.full
def test_layout_in_chromium(pages, tmp_path):
    """Nothing is wider than 360 pixels. The probe is a script of the test, in a copy without the page's policy, which would refuse it."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed (Debian package chromium)")
    probe = """<script>document.documentElement.style.width='360px';let w=0;for(const e of document.querySelectorAll('body *')){
        w=Math.max(w,e.getBoundingClientRect().right,e.scrollWidth)}document.title='widest '+Math.ceil(w)</script></body>"""
    for name in ("missed", "evil bundle", "several"):
        text = re.sub(r"<meta http-equiv=[^>]*>", "", pages[name][0]).replace("</body>", probe)
        (tmp_path / "page.html").write_text(text)
        done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom",
                               f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120, check=False)
        widest = re.search(r"<title>widest (\d+)</title>", done.stdout)
        assert widest, done.stderr[-500:]
        assert 300 <= int(widest[1]) <= 360, (name, widest[1])
