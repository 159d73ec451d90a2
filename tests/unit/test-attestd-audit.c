/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The audit trail: what is in it, that it verifies, and that each change of it is found. */

#include "attestd-world.h"

#include "attestd-audit.h"

typedef struct Seen {
        char text[4096];
        unsigned n, bad;
        int64_t first_bad; /* position */
} Seen;

static int see(void *userdata, const AuditRow *row, _unused_ const uint8_t link[static STORE_AUDIT_SIZE],
                bool verified) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        (void) snprintf(s->text + n, sizeof(s->text) - n, "%s:%s ", row->vm, row->what);
        s->n++;
        if (!verified && s->bad++ == 0)
                s->first_bad = row->position;
        return 0;
}

static Seen look(World *w) {
        Seen s = {};

        assert_ok(audit_verify(w->s.store, see, &s));
        return s;
}

static Measured start(World *w) {
        assert_int_equal(launch(w), 200);
        return measured(w, 0x11, 3);
}

static int with_key(void **state) {
        int r = setup(state);
        World *w = *state;

        assert_ok(audit_key(w->s.vault, w->s.store->audit_key));
        return r;
}

/* By somebody who can write the database, triggers included. */
static void change(World *w, const char *sql) {
        if (postgresql_url()) {
                assert_ok(pg_exec(
                                (PgStore *) w->s.store, "DROP TRIGGER IF EXISTS audit_only_grows ON audit"));
                assert_ok(pg_exec((PgStore *) w->s.store, sql));
                return;
        }
        assert_ok(sqlite_error(sqlite3_exec(((SqliteStore *) w->s.store)->db,
                        "DROP TRIGGER IF EXISTS audit_update; DROP TRIGGER IF EXISTS audit_delete", NULL,
                        NULL, NULL)));
        assert_ok(sqlite_error(sqlite3_exec(((SqliteStore *) w->s.store)->db, sql, NULL, NULL, NULL)));
}

static void fill(World *w) {
        Measured m;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(ask(w, "POST", "/vm/b", OWNER, good), 201);
        m = start(w);
        m.blob[0] ^= 1;
        assert_int_equal(validate(w, &m, true), 403);
        m.blob[0] ^= 1;
        assert_int_equal(validate(w, &m, true), 200);
        assert_int_equal(validate(w, &m, true), 200); /* repeated: nothing is released again */
        assert_int_equal(ask(w, "PUT", "/vm/b", OWNER, good), 200);
        assert_int_equal(ask(w, "DELETE", "/vm/b", OWNER, NULL), 204);
        assert_int_equal(ask(w, "POST", "/vm/b", OWNER, good), 201);
}

static void everything_is_in_it(void **state) {
        World *w = *state;
        Seen s;

        fill(w);
        s = look(w);
        assert_string_equal(s.text,
                        "a:registered b:registered a:refused a:released b:updated b:deleted b:registered ");
        assert_int_equal(s.bad, 0);
        /* Another service, with another key, says so. */
        w->s.store->audit_key[0] ^= 1;
        s = look(w);
        assert_int_equal(s.bad, s.n);
}

static void rows_are_only_added(void **state) {
        World *w = *state;

        fill(w);
        if (postgresql_url()) {
                assert_true(pg_exec((PgStore *) w->s.store, "UPDATE audit SET what = 'x'") < 0);
                assert_true(pg_exec((PgStore *) w->s.store, "DELETE FROM audit") < 0);
                assert_true(pg_exec((PgStore *) w->s.store, "TRUNCATE audit") < 0);
        } else {
                sqlite3 *db = ((SqliteStore *) w->s.store)->db;

                assert_int_not_equal(sqlite3_exec(db, "UPDATE audit SET what = 'x'", NULL, NULL, NULL),
                                SQLITE_OK);
                assert_int_not_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
        }
        assert_int_equal(look(w).bad, 0);
}

static void changes_are_found(void **state) {
        static const char *const changes[] = {
                "UPDATE audit SET what = 'refused' WHERE what = 'released'",
                "UPDATE audit SET time = time + 1 WHERE what = 'released'",
                "UPDATE audit SET launch = '' WHERE what = 'released'",
                "UPDATE audit SET vm = 'c' WHERE what = 'updated'",
                "DELETE FROM audit WHERE what = 'refused'",
                "DELETE FROM audit WHERE vm = 'b' AND position = 1",
                "UPDATE audit SET position = position + 10 WHERE vm = 'b' AND position = 4",
                ("INSERT INTO audit (time, vm, position, launch, what, link) SELECT time, vm, 3, launch, what, link FROM audit WHERE what = 'refused' AND vm = 'x' UNION ALL "
                 "SELECT time, 'z', 1, launch, what, link FROM audit WHERE what = 'released'"),
        };
        World *w = *state;

        fill(w);
        /* One after the other: each adds to the damage. */
        for (size_t i = 0, bad = 0; i < ELEMENTSOF(changes); i++) {
                Seen s;

                change(w, changes[i]);
                s = look(w);
                if (s.bad == 0 || (i == 0 && (s.bad != 1 || s.first_bad != 3)))
                        fail_msg("%s: %u, first %d", changes[i], s.bad, (int) s.first_bad);
                assert_true(s.bad + 1 >= bad);
                bad = s.bad;
        }
}

/* Refusals can be caused at will: so many in an hour are kept. What an owner does, and each release, is kept always. */
static void floods(void **state) {
        World *w = *state;
        Measured m;
        Seen s;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        for (unsigned i = 0; i < AUDIT_PER_HOUR; i++) {
                m = start(w);
                m.blob[0] ^= 1;
                assert_int_equal(validate(w, &m, true), 403);
                assert_int_equal(validate(w, &m, true), 403);
        }
        assert_int_equal(look(w).n, 1 + AUDIT_PER_HOUR);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        assert_int_equal(look(w).n, 2 + AUDIT_PER_HOUR);
        w->now += AUDIT_HOUR;
        m = start(w);
        m.blob[0] ^= 1;
        assert_int_equal(validate(w, &m, true), 403);
        s = look(w);
        assert_int_equal(s.n, 3 + AUDIT_PER_HOUR);
        assert_int_equal(s.bad, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(everything_is_in_it, with_key, teardown),
                cmocka_unit_test_setup_teardown(rows_are_only_added, with_key, teardown),
                cmocka_unit_test_setup_teardown(changes_are_found, with_key, teardown),
                cmocka_unit_test_setup_teardown(floods, with_key, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
