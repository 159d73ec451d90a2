# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service downloads Intel's statements for a TD: from a stand-in for Intel's PCS, with the chain of a made-up Intel (SIMULATED)."""

import time

import pcs_world
from test_attestd_operating import Monitor, parse
from test_tdx_attest import Guest, register, start, world  # noqa: F401


def test_statements_from_the_pcs(tmp_path, world):  # noqa: F811
    """Nothing of Intel's in files: what is missing is downloaded by the confined process while the guest is told to ask again; an answer that is not genuine does not help."""
    pcs = pcs_world.Pcs(world)
    good = dict(pcs.answers)
    pcs.change(pcs_world.TCB, body=world.sign("tcbInfo", world.tcb_info(fmspc="90c06f000000", **pcs_world.dates())))
    (tmp_path / "kds").mkdir()
    service = start(tmp_path, world, "--online", f"--pcs={pcs.url}", f"--kds-cache={tmp_path}/kds", "--crl=required", files=())
    assert register(service)[0] == 201
    statuses = []

    codes = set()

    def ask(until):
        deadline = time.monotonic() + 120
        guest = Guest(service)
        while True:
            status, answer = guest.validate(world.quote(**{"report-data": guest.data}))
            statuses.append(status)
            if status in until or time.monotonic() > deadline:
                return guest, status, answer
            assert status in (503, 424), answer
            codes.add(answer["code"])
            time.sleep(0.3)

    guest, status, answer = ask((424,))
    assert status == 424 and answer["code"] == "collateral-missing" and 503 in statuses
    assert codes == {"collateral-pending"}
    assert not list((tmp_path / "kds").glob("intel-tcb-*")) and (tmp_path / "kds/intel-root-crl.der").exists()
    service.stop()
    # What failed is not asked for again for a while by the same process.
    pcs.answers = good
    service = start(tmp_path, world, "--online", f"--pcs={pcs.url}", f"--kds-cache={tmp_path}/kds", "--crl=required", files=())
    guest, status, answer = ask((200,))
    assert status == 200, answer
    assert guest.open(answer)
    service.stop()
    # Without a network the cache is enough.
    pcs.stop()
    service = start(tmp_path, world, f"--kds-cache={tmp_path}/kds", "--crl=required", f"--metrics=unix:{tmp_path}/monitor", files=())
    guest, status, answer = ask((200,))
    assert status == 200, answer
    check_dates(service, tmp_path)
    service.stop()


def check_dates(service, folder):
    """Monitoring and the owner's page have what is in the cache, with Intel's name; what is not genuine is not there."""
    kept = {p.name for p in (folder / "kds").glob("intel-*")}
    (folder / "kds/intel-tcb-0123456789ab.pcs").write_bytes(b"nothing of Intel's")
    values = parse(Monitor(folder / "monitor").get("/metrics")[2])
    found = {key: int(float(v)) for key, v in values.items() if "_next_update_" in key}
    lists = {f'cvmspawn_attestd_crl_next_update_timestamp_seconds{{vendor="intel",list="{n}"}}' for n in kept if "crl" in n}
    statements = {f'cvmspawn_attestd_statement_next_update_timestamp_seconds{{vendor="intel",statement="{n}"}}' for n in kept if "crl" not in n}
    assert set(found) == lists | statements and len(lists) >= 2 and len(statements) == 2
    assert all(v > time.time() for v in found.values())
    status, listed = service.curl(*service.owner(), service.url + "/certificates")
    assert status == 200 and kept <= {c["name"] for c in listed} and {"tcb-info", "qe-identity", "revocation-list"} <= {c["use"] for c in listed}
