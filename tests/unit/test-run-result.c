/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "macro.h"
#include "run.h"

/* Each row: what happened, and the documented source and status. guest_status is written as status + 1, so that 0 means none. */
typedef struct Row {
        const char *what;
        RunFacts facts;
        int word; /* EXIT_STATUS + 1, 0: none */
        ExitSource source;
        int status;
        bool has_cause;
} Row;

static const Row rows[] = {
        { "power-off", { .running = true, .guest_shutdown = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_GUEST, 0, false },
        { "the command's 0", { .running = true, .run = true, .guest_shutdown = true, .qemu_exited = true },
                        1, EXIT_SOURCE_GUEST, 0, false },
        { "the command's 7", { .running = true, .run = true, .guest_shutdown = true, .qemu_exited = true },
                        8, EXIT_SOURCE_GUEST, 7, false },
        { "the command's 255", { .running = true, .run = true, .guest_shutdown = true }, 256,
                        EXIT_SOURCE_GUEST, 255, false },
        { "the guest's word counts behind a reboot", { .running = true, .guest_reset = true }, 6,
                        EXIT_SOURCE_GUEST, 5, false },
        { "and behind a signal", { .running = true, .signal = 15 }, 4, EXIT_SOURCE_GUEST, 3, false },
        { "and when time ran out over the power-off", { .running = true, .timed_out = true }, 1,
                        EXIT_SOURCE_GUEST, 0, false },
        { "--run without an exit status is a failure",
                        { .running = true, .run = true, .guest_shutdown = true }, 0, EXIT_SOURCE_GUEST, 125,
                        true },
        { "nor behind a signal", { .running = true, .run = true, .guest_shutdown = true, .signal = 15 }, 0,
                        EXIT_SOURCE_SIGNAL, 143, true },
        { "power-off in answer to a signal", { .running = true, .guest_shutdown = true, .signal = 15 }, 0,
                        EXIT_SOURCE_GUEST, 0, false },
        { "signal before the guest ran", { .signal = 2 }, 0, EXIT_SOURCE_SIGNAL, 130, true },
        { "a signal had to end QEMU", { .running = true, .signal = 15, .qemu_exited = true }, 0,
                        EXIT_SOURCE_SIGNAL, 143, true },
        { "QEMU killed after a signal", { .running = true, .signal = 15, .qemu_status = -9 }, 0,
                        EXIT_SOURCE_SIGNAL, 143, true },
        { "reboot", { .running = true, .guest_reset = true }, 0, EXIT_SOURCE_GUEST, 126, true },
        { "reboot although the command had not ended", { .running = true, .run = true, .guest_reset = true },
                        0, EXIT_SOURCE_GUEST, 126, true },
        { "panic", { .running = true, .panicked = true }, 0, EXIT_SOURCE_GUEST, 126, true },
        { "panic with panic=1", { .running = true, .panicked = true, .guest_reset = true }, 0,
                        EXIT_SOURCE_GUEST, 126, true },
        { "time ran out", { .running = true, .timed_out = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_TIMEOUT, 124, true },
        { "time ran out during set-up", { .timed_out = true }, 0, EXIT_SOURCE_TIMEOUT, 124, true },
        { "time ran out, then a signal", { .running = true, .timed_out = true, .signal = 15 }, 0,
                        EXIT_SOURCE_TIMEOUT, 124, true },
        { "ended by its control socket", { .running = true, .terminated = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_CONTROL, 0, false },
        { "and its command had ended", { .running = true, .run = true, .terminated = true }, 8,
                        EXIT_SOURCE_GUEST, 7, false },
        { "and its command had not ended",
                        { .running = true, .run = true, .terminated = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_CONTROL, 125, true },
        { "the launcher failed", { .failed = true }, 0, EXIT_SOURCE_LAUNCHER, 125, false },
        { "the launcher failed while the guest ran",
                        { .failed = true, .running = true, .qemu_exited = true }, 0, EXIT_SOURCE_LAUNCHER,
                        125, false },
        { "the firmware refused", { .running = true, .refused = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_GUEST, 125, true },
        { "the firmware had no memory",
                        { .running = true, .refused = true, .little_memory = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_GUEST, 125, true },
        { "the kernel had no memory",
                        { .running = true, .panicked = true, .little_memory = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_GUEST, 126, true },
        { "the launch was refused at cont", { .finishing = true, .qemu_exited = true, .qemu_status = 1 }, 0,
                        EXIT_SOURCE_QEMU, 125, true },
        { "and after cont was answered",
                        { .finishing = true, .running = true, .unfinished = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_QEMU, 125, true },
        { "KVM gave up", { .finishing = true, .running = true, .cpu_failed = true, .qemu_exited = true }, 0,
                        EXIT_SOURCE_QEMU, 125, true },
        { "QEMU ended with 0 during set-up", { .qemu_exited = true }, 0, EXIT_SOURCE_QEMU, 125, true },
        { "QEMU ended with 1 during set-up", { .qemu_exited = true, .qemu_status = 1 }, 0, EXIT_SOURCE_QEMU,
                        125, true },
        { "QEMU ended with 0 under a guest", { .running = true, .qemu_exited = true }, 0, EXIT_SOURCE_QEMU,
                        125, true },
        { "QEMU was killed under a guest", { .running = true, .qemu_exited = true, .qemu_status = -9 }, 0,
                        EXIT_SOURCE_QEMU, 125, true },
};

static void every_end_has_its_status(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                RunFacts facts = rows[i].facts;
                RunResult r;

                facts.guest_status = rows[i].word - 1;
                r = run_result(&facts);
                if (r.source != rows[i].source || r.status != rows[i].status ||
                                !r.cause == rows[i].has_cause)
                        fail_msg("%s: got %s %d (%s), expected %s %d", rows[i].what,
                                        exit_source_to_string(r.source), r.status, r.cause ?: "no cause",
                                        exit_source_to_string(rows[i].source), rows[i].status);
        }
}

/* Whatever else is true: without a clean power-off or the guest's own 0 the status is not 0. */
static void success_needs_the_guest(_unused_ void **state) {
        for (unsigned bits = 0; bits < 1u << 10; bits++) {
                RunFacts f = {
                        .failed = bits & 1,
                        .running = bits & 2,
                        .run = bits & 4,
                        .guest_status = -1,
                        .timed_out = bits & 8,
                        .signal = bits & 16 ? 15 : 0,
                        .guest_shutdown = bits & 32,
                        .guest_reset = bits & 64,
                        .panicked = bits & 128,
                        .refused = bits & 256,
                        .qemu_exited = true,
                        .qemu_status = bits & 512 ? -9 : 0,
                };
                RunResult r = run_result(&f);

                if (r.status == 0)
                        assert_true(f.guest_shutdown && !f.run && !f.failed && !f.timed_out && !f.refused &&
                                        !f.panicked && !f.guest_reset);
                assert_in_range(r.status, 0, 255);
        }
}

static void a_launch_that_failed_is_told_from_a_guest_that_ran(_unused_ void **state) {
        const RunFacts set_up = { .guest_status = -1, .qemu_exited = true, .unfinished = true },
                       refused = { .guest_status = -1, .finishing = true, .qemu_exited = true },
                       late = { .guest_status = -1,
                               .finishing = true,
                               .running = true,
                               .unfinished = true,
                               .qemu_exited = true },
                       ran = { .guest_status = -1, .finishing = true, .running = true, .qemu_exited = true };

        assert_false(run_launch_failed(&set_up));
        assert_true(run_launch_failed(&refused));
        assert_true(run_launch_failed(&late));
        assert_false(run_launch_failed(&ran));
        assert_string_not_equal(run_result(&refused).cause, run_result(&ran).cause);
        assert_string_equal(run_result(&refused).cause, run_result(&late).cause);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_end_has_its_status),
                cmocka_unit_test(a_launch_that_failed_is_told_from_a_guest_that_ran),
                cmocka_unit_test(success_needs_the_guest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
