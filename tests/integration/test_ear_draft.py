# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attestation results of report verify --format=ear beside the examples of draft-ietf-rats-ear-04: one check of form, made from the draft's CDDL, takes both
the examples and what we print, and refuses changes of either."""

import copy
import json

import pytest
from test_report_refs import bundle, ear, reports, world  # noqa: F401

PROFILE = "tag:ietf.org,2026:rats/ear#04"
TIERS = {"none", "affirming", "warning", "contraindicated"}
CLAIMS = {"instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque", "storage-opaque", "sourced-data"}
# The draft's examples for JSON (cddl/examples/ear-json-1 to 3.diag of its repository, 2026), retyped: same members and values of claims, other names.
DEVELOPER = {"developer": "https://verifier.example", "build": "verifier 0.0.1"}
POLICY = ["https://verifier.example/policy/1/60a0068d"]
EXAMPLES = {
    "one": {"eat_profile": PROFILE, "iat": 1666529184, "ear_verifier_id": DEVELOPER, "ear_raw_evidence": "NzQ3MjY5NzM2NTYzNzQK", "submods": {
        "PSA": {"ear_status": "contraindicated", "ear_trustworthiness_vector": {"instance-identity": 2, "executables": 96, "hardware": 2},
                "ear_appraisal_policy_ids": POLICY}}},
    "two": {"eat_profile": PROFILE, "iat": 1666529300, "ear_verifier_id": DEVELOPER, "ear_raw_evidence": "NzQ3MjY5NzM2NTYzNzQKNzQ3MjY5NzM2NTYzNzQK", "submods": {
        "CCA Platform": {"ear_status": "affirming", "ear_trustworthiness_vector": {"instance-identity": 2, "executables": 2, "hardware": 2},
                         "ear_appraisal_policy_ids": POLICY},
        "CCA Realm": {"ear_status": "affirming", "ear_trustworthiness_vector": {"instance-identity": 2}, "ear_appraisal_policy_ids": POLICY}}},
    "status": {"eat_profile": PROFILE, "iat": 1666529184, "ear_status": "warning", "ear_verifier_id": DEVELOPER, "submods": {
        "cvm": {"ear_status": "affirming", "ear_trustworthiness_vector": {"instance-identity": 2, "executables": 2, "configuration": 2}},
        "platform": {"ear_status": "warning", "ear_trustworthiness_vector": {"hardware": 2, "configuration": 1}}}},
}  # fmt: skip


def is_base64url(x):
    return isinstance(x, str) and x != "" and all(c.isalnum() and c.isascii() or c in "-_" for c in x)


def is_claim(x):
    return type(x) is int and -128 <= x <= 127


def members(j, where, required, optional):
    """Those that the CDDL names: each with what it holds. Extensions are of others, so unknown members are refused here."""
    assert isinstance(j, dict), where
    assert set(required) <= set(j) <= {*required, *optional}, f"{where}: {sorted(j)}"
    for name, holds in {**required, **optional}.items():
        assert name not in j or holds(j[name]), f"{where}: {name}: {j[name]!r}"


def is_vector(x):
    return isinstance(x, dict) and x != {} and set(x) <= CLAIMS and all(is_claim(v) for v in x.values())


def check(j):
    """EAR and EAR-appraisal of the draft's ear.cddl and ear-appraisal.cddl, for JSON."""
    text = lambda x: isinstance(x, str)  # noqa: E731
    tier = lambda x: x in TIERS  # noqa: E731
    members(j, "EAR", {"eat_profile": lambda x: x == PROFILE, "iat": lambda x: type(x) is int, "submods": lambda x: isinstance(x, dict) and x != {},
                       "ear_verifier_id": lambda x: isinstance(x, dict) and set(x) == {"developer", "build"} and all(map(text, x.values()))},
            {"ear_status": tier, "exp": lambda x: type(x) is int, "ear_raw_evidence": is_base64url, "eat_nonce": text})  # fmt: skip
    for name, appraisal in j["submods"].items():
        members(appraisal, name, {"ear_status": tier}, {"ear_trustworthiness_vector": is_vector, "eat_profile": text, "eat_nonce": text,
                "ear_appraisal_policy_ids": lambda x: isinstance(x, list) and x != [] and all(map(text, x))})  # fmt: skip


CHANGES = [
    lambda j, a: j.pop("iat"), lambda j, a: j.update(iat="1666529184"), lambda j, a: j.update(iat=1.5), lambda j, a: j.update(eat_profile="tag:other"),
    lambda j, a: j.pop("ear_verifier_id"), lambda j, a: j["ear_verifier_id"].pop("build"), lambda j, a: j.update(submods={}), lambda j, a: j.update(extra=1),
    lambda j, a: j.update(ear_raw_evidence="a+b="), lambda j, a: a.pop("ear_status"), lambda j, a: a.update(ear_status=2), lambda j, a: a.update(ear_status="good"),
    lambda j, a: a.update(ear_trustworthiness_vector={}), lambda j, a: a["ear_trustworthiness_vector"].update(hardware=128),
    lambda j, a: a["ear_trustworthiness_vector"].update(hardware=True), lambda j, a: a["ear_trustworthiness_vector"].update(other=2),
    lambda j, a: a.update(ear_appraisal_policy_ids=[]),
]  # fmt: skip


def refuses_changes(good):
    check(good)
    for change in CHANGES:
        j = copy.deepcopy(good)
        change(j, next(iter(j["submods"].values())))
        with pytest.raises(AssertionError):
            check(j)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_draft(name):
    refuses_changes(EXAMPLES[name])


def test_what_we_print_has_the_form_of_the_draft(reports, bundle, tmp_path):  # noqa: F811
    """Member by member as the first example; several reports as the second and third, with the status of all."""
    one = ear(reports, ["row"], "--reference", bundle)
    refuses_changes(one)
    example = EXAMPLES["one"]
    assert set(one) - set(example) == {"ear_status"} and set(example) <= set(one)
    ours, theirs = next(iter(one["submods"].values())), example["submods"]["PSA"]
    assert set(ours) == set(theirs) and set(theirs["ear_trustworthiness_vector"]) <= set(ours["ear_trustworthiness_vector"])
    assert {n: type(v) for n, v in one.items()} == {**{n: type(v) for n, v in example.items()}, "ear_status": str}
    forged = bytearray(reports["row"].read_bytes())
    forged[0x90] ^= 1
    (tmp_path / "forged").write_bytes(forged)
    many = ear(reports, ["row", "other", tmp_path / "forged", tmp_path / "none"], "--reference", bundle, status=1)
    check(many)
    assert set(many) == set(EXAMPLES["status"]) and len(many["submods"]) == 4
    check(json.loads(json.dumps(ear(reports, ["row"], "--insecure-any-measurement"))))
