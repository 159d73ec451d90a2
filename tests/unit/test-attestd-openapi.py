#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""attestd/attestd-openapi.json says what the attestation service does: its operations are the routes, and every answer that the unit tests
(named as arguments) get is one that it describes. The tests in turn must have seen every status and every code that it promises.

usage: test-attestd-openapi.py TEST-PROGRAM..."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "tests/lib"))
import openapi  # noqa: E402

PROGRAMS = sys.argv[1:]
DOCUMENT = SOURCE / "attestd/attestd-openapi.json"
# What unit tests do not get to see: these are the server's and the network's.
NOT_HERE = {"internal", "unavailable", "collateral-pending"}


def answers():
    """All programs at once, each with its own file."""
    with tempfile.TemporaryDirectory() as d:
        files = [pathlib.Path(d) / f"{i}" for i in range(len(PROGRAMS))]
        children = [subprocess.Popen([p], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "ATTESTD_ANSWERS": str(f)})
                    for p, f in zip(PROGRAMS, files)]  # fmt: skip
        failed = [p for p, c in zip(PROGRAMS, children) if c.wait() != 0]
        assert not failed, failed
        return [json.loads(line) for f in files for line in f.read_text().splitlines()]


class Conformance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lines = answers()
        cls.document = openapi.Document(DOCUMENT)

    def test_routes(self):
        routes = {(r["method"], r["route"]): r for r in self.lines if "route" in r}
        operations = {(method.upper(), re.sub(r"\{\w+\}", "*", path)): o for path, item in self.document.tree["paths"].items()
                      for method, o in item.items() if method != "parameters"}  # fmt: skip
        self.assertEqual(set(routes), set(operations))
        for name, r in routes.items():
            with self.subTest(name):
                o = operations[name]
                self.assertEqual(r["owner"], "security" in o)
                self.assertEqual(r["owner"], "401" in o["responses"])
                self.assertEqual(r["max-body"] > 0, "requestBody" in o)
                if r["max-body"] > 0:
                    media = o["requestBody"]["content"]
                    self.assertEqual(r["upload"], list(media) == ["application/octet-stream"])
                    self.assertEqual(r["max-body"], media["application/octet-stream"]["schema"]["maxLength"] if r["upload"] else 65536)

    def test_parameters(self):
        for path, item in self.document.tree["paths"].items():
            self.assertEqual([p["name"] for p in item.get("parameters", [])], re.findall(r"\{(\w+)\}", path))

    def test_answers(self):
        for a in self.lines:
            if "route" in a:
                continue
            try:
                self.document.check_answer(a["method"], a["path"], a["status"], a["answer"], a["request"])
            except openapi.Mismatch as e:
                self.fail(f"{e}\n{json.dumps(a)[:2000]}")
            again = a["status"] in (202, 429) or (a["status"] == 503 and a["answer"]["code"] in ("cek-pending", "vcek-pending", "collateral-pending"))
            self.assertEqual(again, a["retry-after"] > 0, a)
        self.assertGreater(len(self.lines), 500)
        self.assertEqual(sorted(self.document.declared() - self.document.seen), [])
        codes = set(self.document.follow({"$ref": "#/components/schemas/Problem"})["properties"]["code"]["enum"])
        self.assertEqual(codes - self.document.codes - NOT_HERE, set())

    def test_hosts_are_not_told_what_would_be_right(self):
        """A refusal says what is wrong: no digest, no secret, no number that a registration names."""
        told = [a for a in self.lines if "answer" in a and a["status"] >= 400 and a["path"].rsplit("/", 1)[-1] in ("launch", "validate")]
        self.assertGreater(len(told), 100)
        for a in told:
            text = a["answer"]["detail"] + a["answer"]["title"]
            self.assertIsNone(re.search(r"[0-9a-fA-F]{16}|[A-Za-z0-9+/]{24}", text), text)
            self.assertNotIn("sesame", text)
        old = [a["answer"]["detail"] for a in told if a["answer"]["code"] == "platform-too-old"]
        self.assertTrue(old)
        for text in old:  # the host's own API and build are 1.55 and 21; the owner wants 22
            self.assertEqual(re.findall(r"[0-9]+", text), ["1", "55", "21"])

    def test_members(self):
        """What a registration may say is what its parsers take."""
        common = (SOURCE / "attestd/attestd-registration.c").read_text()
        for source, schema in [("attestd-registration-sev.c", "SevRegistration"), ("attestd-registration-snp.c", "SnpRegistration"),
                               ("attestd-registration-tdx.c", "TdxRegistration")]:
            text = common + (SOURCE / "attestd" / source).read_text()
            refused = re.search(r"foreign\[\] = \{([^}]*)\}", text)
            taken = set(re.findall(r'(?:\b(?:FIELD|CUSTOM|KEEP)\(|\{ )"([a-z-]+)", (?!"|NULL)', text)) - {"computed-digests"}
            taken -= set(re.findall(r'"([a-z-]+)"', refused[1])) if refused else set()
            self.assertEqual(taken, set(self.document.follow({"$ref": f"#/components/schemas/{schema}"})["properties"]))

    def test_finds_differences(self):
        d = openapi.Document(DOCUMENT)
        problem = {"type": "urn:cvmspawn:problem:unknown-vm", "title": "t", "status": 404, "code": "unknown-vm", "detail": "d"}
        for method, path, status, body in [
            ("GET", "/health", 200, {"status": "OK"}), ("GET", "/health", 200, {}), ("GET", "/health", 200, None),
            ("GET", "/health", 200, {"status": "ok", "more": 1}), ("GET", "/elsewhere", 200, {}), ("DELETE", "/vm/a", 204, {}),
            ("GET", "/vm/a", 403, {**problem, "status": 403}), ("GET", "/vm/a", 404, {**problem, "code": "other"}),
            ("GET", "/vm/a", 404, {**problem, "status": 405}), ("POST", "/vm/a", 201, {"id": 1, "secret-table-size": 1}),
            ("POST", "/vm/a", 201, {"id": "a", "secret-table-size": -1}), ("PATCH", "/vm/a", 200, {}),
        ]:  # fmt: skip
            with self.subTest(f"{method} {path} {status}"), self.assertRaises(openapi.Mismatch):
                d.check_answer(method, path, status, body)
        d.check_answer("GET", "/vm/a", 404, problem)
        with self.assertRaises(openapi.Mismatch):
            d.check_answer("POST", "/vm/a", 201, {"id": "a", "secret-table-size": 48}, {"scheme": "amd-sev"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
