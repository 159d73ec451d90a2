# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two services on a PostgreSQL that streams to a replica and waits for it. The server is killed, somebody promotes the replica by hand, and the services go on there with
all that they acknowledged: nothing restarts, and nothing is released twice or beyond the limit."""

import time

import pytest
from attestd_service import DIGEST
from postgres import Postgres
from test_attestd_fleet import Fleet, Psp, ask, insist

pytestmark = pytest.mark.full


class Replica(Postgres):
    """A copy of a running server, which follows it."""

    def __init__(self, primary):
        self.primary = primary
        super().__init__()

    def create(self):
        p = self.primary
        self.run(self.bin / "pg_basebackup", "-h", p.folder, "-p", p.port, "-U", "attestd", "-D", self.data, "--write-recovery-conf", "--wal-method=stream",
                 "--checkpoint=fast", "--no-sync")  # fmt: skip


@pytest.fixture
def pair():
    primary = Postgres()
    try:
        primary.new_database("fleet")
        replica = Replica(primary)
    except BaseException:
        primary.remove()
        raise
    try:
        # What a service acknowledges is on both.
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        end = time.monotonic() + 120
        while primary.sql("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < end
            time.sleep(0.1)
        yield primary, replica
    finally:
        replica.remove()
        primary.remove()


def test_the_replica_is_promoted(tmp_path, platform, pair):
    primary, replica = pair
    url = f"postgresql:///fleet?host={primary.folder},{replica.folder}&port={primary.port},{replica.port}&user=attestd"
    fleet = Fleet(tmp_path, platform, url, count=2)
    try:
        fleet.register(3)
        psp = Psp(platform)
        said, packets = [], []
        for n in range(2):
            status, opened = ask(fleet, "POST", "/vm/a/launch", psp.launch(), number=n)
            assert status == 200, opened
            said.append(psp.measured(opened, DIGEST))
        status, packet = ask(fleet, "POST", "/vm/a/validate", said[0])
        assert status == 200
        packets.append(packet)

        primary.kill()
        # Until somebody decides, nothing is confirmed: the replica takes no writes.
        for n in range(2):
            assert ask(fleet, "POST", "/vm/a/validate", said[1], number=n)[0] == 503
        assert replica.sql("SELECT pg_promote()") == [("t",)]

        # The other launch ends at the other instance, and the first one has the packet that it had.
        status, packet = insist(fleet, "POST", "/vm/a/validate", said[1])
        assert status == 200
        assert insist(fleet, "POST", "/vm/a/validate", said[0], None, 1) == (200, packets[0])
        assert insist(fleet, "POST", "/vm/a/validate", said[1], None, 1) == (200, packet)
        # The limit counts what was released before.
        status, opened = ask(fleet, "POST", "/vm/a/launch", psp.launch(), number=1)
        assert ask(fleet, "POST", "/vm/a/validate", psp.measured(opened, DIGEST))[0] == 200
        status, opened = ask(fleet, "POST", "/vm/a/launch", psp.launch())
        assert ask(fleet, "POST", "/vm/a/validate", psp.measured(opened, DIGEST), number=1)[0] == 429
        events = [e["event"] for e in ask(fleet, "GET", "/vm/a/events", token=fleet.token)[1]]
        assert events.count("released") == 3
        assert replica.sql("SELECT count(*) FROM cvmspawn_attestd.launch WHERE released IS NOT NULL", "fleet") == [("3",)]
        assert all(s.process.poll() is None for s in fleet.services)
    finally:
        fleet.stop()
