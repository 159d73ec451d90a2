# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service downloads Intel's statements for a TD: from a stand-in for Intel's PCS, with the chain of a made-up Intel (SIMULATED)."""

import time

import pcs_world
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

    def ask(until):
        deadline = time.monotonic() + 120
        guest = Guest(service)
        while True:
            status, answer = guest.validate(world.quote(**{"report-data": guest.data}))
            statuses.append(status)
            if status in until or time.monotonic() > deadline:
                return guest, status, answer
            assert status in (503, 424), answer
            time.sleep(0.3)

    guest, status, answer = ask((424,))
    assert status == 424 and answer["code"] == "collateral-missing" and 503 in statuses
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
    service = start(tmp_path, world, f"--kds-cache={tmp_path}/kds", "--crl=required", files=())
    guest, status, answer = ask((200,))
    assert status == 200, answer
    service.stop()
