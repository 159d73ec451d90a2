/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The client and the typed commands against a real QEMU without a machine: what we believe of its QMP. QEMU is
 * $CVMSPAWN_QEMU, or the one in the cache. */

#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "process.h"
#include "qmp-client.h"
#include "qmp-commands.h"
#include "qmp-job.h"
#include "qmp-rip.h"
#include "qmp-schema.h"
#include "qmp-sev.h"
#include "strutil.h"
#include "test-skip.h"

#define SECOND  UINT64_C(1000000)
#define TIMEOUT (60 * SECOND) /* a loaded machine may need long to start QEMU */

static char qemu[4096];

typedef struct Fixture {
        Loop *loop;
        QmpClient *client;
        Process process;
        Text seen;
} Fixture;

static int on_event(_unused_ QmpClient *c, const char *name, const Json *data, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "%s", name);
        if (streq(name, "SHUTDOWN"))
                text_putf(&f->seen, "(%s)", qmp_shutdown_to_string(qmp_shutdown_parse(data)));
        text_put(&f->seen, " ");
        return 0;
}

static int on_disconnect(QmpClient *c, int error, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "disconnect:%d ", error);
        assert_non_null(qmp_client_failure(c));
        return loop_exit(f->loop, 0);
}

static int start(void **state, const char *machine, const char *extra) {
        Fixture *f = calloc(1, sizeof(*f));
        char chardev[64], *why = NULL;
        int fds[2];
        const char *argv[] = { qemu, "-machine", machine, "-S", "-nodefaults", "-no-user-config", "-display",
                "none", "-accel", "tcg", "-chardev", chardev, "-mon", "chardev=qmp,mode=control", extra,
                NULL };

        assert_non_null(f);
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        (void) snprintf(chardev, sizeof(chardev), "socket,id=qmp,fd=%d,server=off", fds[1]);
        const ProcessSpec spec = {
                .file = qemu,
                .argv = (char *const *) argv,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .stderr_fd = -EBADF,
                .keep_fds = &fds[1],
                .n_keep_fds = 1,
        };

        if (process_spawn(&spec, &f->process, &why) < 0)
                fail_msg("%s", why);
        (void) fd_close(fds[1]);
        assert_ok(loop_new(&f->loop));
        assert_ok(qmp_client_new(f->loop, fds[0], &f->client));
        assert_ok(qmp_client_set_greeting_timeout(f->client, TIMEOUT));
        qmp_client_set_handlers(f->client, on_event, on_disconnect, f);
        *state = f;
        return 0;
}

static int setup(void **state) {
        return start(state, "none", NULL);
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->client = qmp_client_unref(f->client);
        process_done(&f->process);
        loop_unref(f->loop);
        text_done(&f->seen);
        free(f);
        return 0;
}

static void version_and_status(void **state) {
        Fixture *f = *state;
        QmpVersion greeting, v;
        QmpStatus s;
        char *why = NULL;

        if (qmp_query_status_wait(f->client, TIMEOUT, &s, &why) < 0)
                fail_msg("%s", why);
        assert_int_equal(s.state, QMP_STATE_PRELAUNCH);
        assert_false(s.running);
        assert_ok(qmp_query_version_wait(f->client, TIMEOUT, &v, NULL));
        assert_ok(qmp_client_version(f->client, &greeting));
        assert_memory_equal(&v, &greeting, sizeof(v));
        print_message("QEMU %u.%u.%u\n", v.major, v.minor, v.micro);
}

static void refusals(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL, *why2 = NULL, *why3 = NULL;
        QmpSevMeasurement m;
        SecretBuf header = {}, secret = {};

        assert_error(qmp_call_wait(f->client, "no-such-command", NULL, TIMEOUT, NULL, &why), EREMOTEIO);
        assert_string_equal(qmp_client_error_class(f->client), "CommandNotFound");
        assert_error(qmp_query_sev_launch_measure_wait(f->client, TIMEOUT, &m, &why2), EREMOTEIO);
        assert_non_null(strstr(why2, "query-sev-launch-measure"));

        assert_ok(secret_buf_alloc(&header, QMP_SEV_PACKET_HEADER_SIZE));
        assert_ok(secret_buf_alloc(&secret, 15));
        assert_error(qmp_sev_inject_launch_secret_wait(f->client, &header, &secret, NULL, TIMEOUT, NULL),
                        EINVAL);
        secret_buf_done(&secret);
        assert_ok(secret_buf_alloc(&secret, 16));
        assert_error(qmp_sev_inject_launch_secret_wait(f->client, &header, &secret, NULL, TIMEOUT, &why3),
                        EREMOTEIO);
        assert_string_equal(why3, "QEMU refused 'sev-inject-launch-secret': SEV not enabled for guest");
        secret_buf_done(&secret);
        secret_buf_done(&header);
}

static void sev_without_sev(void **state) {
        Fixture *f = *state;
        QmpSev s;

        assert_ok(qmp_query_sev_wait(f->client, TIMEOUT, &s, NULL));
        assert_false(s.enabled);
        assert_int_equal(s.state, QMP_SEV_UNINIT);
}

static void probes(void **state) {
        Fixture *f = *state;
        _cleanup_js_ Json *schema = NULL;

        assert_ok(qmp_query_schema_wait(f->client, TIMEOUT, &schema, NULL));
        assert_true(qmp_schema_has_command(schema, "sev-inject-launch-secret"));
        assert_true(qmp_schema_has_argument(schema, "sev-inject-launch-secret", "gpa"));
        assert_true(qmp_schema_has_argument(schema, "blockdev-add", "discard-no-unref")); /* since 8.1 */
        assert_false(qmp_schema_has_argument(schema, "blockdev-add", "no-such-argument"));
        assert_true(qmp_schema_has_event(schema, "SHUTDOWN"));
        assert_int_equal(qmp_type_exists_wait(f->client, "virtio-serial-pci", TIMEOUT, NULL), 1);
        assert_int_equal(qmp_type_exists_wait(f->client, "sev-snp-guest", TIMEOUT, NULL), 1); /* since 9.1 */
        assert_int_equal(qmp_type_exists_wait(f->client, "no-such-type", TIMEOUT, NULL), 0);
}

/* A sealed image in a memfd goes in by add-fd, an overlay is created in a second one by a job, all pipelined where possible. */
static void disks_by_descriptor(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int image = memfd_new("image");
        _cleanup_js_ Json *again = NULL;
        char *why = NULL;
        Json *args;

        assert_ok(image);
        assert_ok(ftruncate(image, 1048576));
        assert_ok(qmp_add_fd(f->client, 7, "overlay", image, NULL, NULL));
        assert_ok(js_build(&args, "{s:s, s:s, s:s, s:{s:b}}", "driver", "file", "node-name", "file0",
                        "filename", "/dev/fdset/7", "cache", "direct", 0));
        assert_ok(qmp_blockdev_add(f->client, args, NULL, NULL));
        assert_ok(js_build(&args, "{s:s, s:s, s:I}", "driver", "qcow2", "file", "file0", "size",
                        4096LL * 1024));
        if (qmp_blockdev_create_wait(f->client, "create", args, TIMEOUT, &why) < 0)
                fail_msg("%s", why);

        assert_ok(js_build(
                        &args, "{s:s, s:s, s:s}", "driver", "qcow2", "node-name", "disk0", "file", "file0"));
        if (qmp_call_wait(f->client, "blockdev-add", args, TIMEOUT, NULL, &why) < 0)
                fail_msg("%s", why);

        /* The name was dismissed, so a failing job may use it again; its reason is told. */
        assert_ok(js_build(&args, "{s:s, s:s, s:I}", "driver", "qcow2", "file", "file0", "size", 1LL));
        assert_error(qmp_blockdev_create_wait(f->client, "create", args, TIMEOUT, &why), EIO);
        assert_non_null(strstr(why, "job 'create' failed: "));
        free(why);

        assert_ok(qmp_blockdev_del(f->client, "disk0", NULL, NULL));
        assert_ok(qmp_blockdev_del(f->client, "file0", NULL, NULL));
        assert_ok(qmp_remove_fd(f->client, 7, NULL, NULL));
        assert_ok(qmp_call_wait(f->client, "query-fdsets", NULL, TIMEOUT, &again, NULL));
        assert_int_equal(js_length(again), 0);
        assert_string_equal(strstr(f->seen.data, "JOB_STATUS_CHANGE") ? "seen" : "", "seen");
}

static int on_code(_unused_ QmpClient *c, int error, const QmpCode *code, void *userdata) {
        Fixture *f = userdata;

        if (error < 0)
                text_putf(&f->seen, "%s ", strerrorname_np(-error));
        else
                text_putf(&f->seen, "%" PRIx64 "/%zu ", code->rip.linear, code->size);
        return 0;
}

static void no_cpu(void **state) {
        Fixture *f = *state;
        _cleanup_free_ QmpCpu *cpus = NULL;
        size_t n;

        assert_ok(qmp_read_rip(f->client, 0, on_code, f));
        assert_ok(qmp_query_cpus_fast_wait(f->client, TIMEOUT, &cpus, &n, NULL));
        assert_int_equal(n, 0);
        /* QEMU refuses cpu-index 0 where there is no CPU at all. */
        assert_string_equal(f->seen.data, "EREMOTEIO ");
}

static int setup_q35(void **state) {
        return start(state, "q35", NULL);
}

static void reset_vector(void **state) {
        Fixture *f = *state;
        _cleanup_free_ QmpCpu *cpus = NULL;
        size_t n;

        assert_ok(qmp_query_cpus_fast_wait(f->client, TIMEOUT, &cpus, &n, NULL));
        assert_int_equal(n, 1);
        assert_int_equal(cpus[0].index, 0);
        assert_true(cpus[0].thread_id > 0);

        /* Two steps: the second command is queued when the first one's answer is there. */
        assert_ok(qmp_read_rip(f->client, 0, on_code, f));
        while (!f->seen.data)
                assert_true(loop_once(f->loop, TIMEOUT) > 0);
        /* 32 bytes in front of it, and 16 up to 4 GiB, where memory ends. */
        assert_string_equal(f->seen.data, "fffffff0/48 ");
}

static void quit_is_clean(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_quit(f->client, NULL, NULL));
        assert_ok(loop_run(f->loop));
        assert_string_equal(f->seen.data, "SHUTDOWN(host-qmp-quit) disconnect:0 ");
}

static void killed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;
        QmpStatus s;

        assert_ok(qmp_query_status_wait(f->client, TIMEOUT, &s, NULL));
        assert_ok(process_signal(&f->process, SIGKILL));
        assert_error(qmp_query_status_wait(f->client, TIMEOUT, &s, &why), ECONNRESET);
        assert_string_equal(why, "'query-status' was not answered: QEMU closed the QMP connection");
}

static int setup_bad_option(void **state) {
        return start(state, "none", "-no-such-option");
}

static void dies_at_start(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;
        QmpStatus s;
        int r = qmp_query_status_wait(f->client, TIMEOUT, &s, &why);

        assert_true(r == -ECONNRESET || r == -ENOTCONN);
        assert_non_null(strstr(why, "the QMP connection ended before the greeting: QEMU did not start"));
}

/* $CVMSPAWN_QEMU, or where ./check keeps what it fetched. */
static bool find_qemu(void) {
        const char *given = getenv("CVMSPAWN_QEMU"), *cache = getenv("CVMSPAWN_CACHE");
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        const char *below = "";

        if (given)
                return snprintf(qemu, sizeof(qemu), "%s", given) > 0 && access(qemu, X_OK) == 0;
        if (!cache && geteuid() == 0)
                cache = "/var/cache/cvmspawn";
        if (!cache) {
                cache = xdg ?: (home ?: "");
                below = xdg ? "/cvmspawn" : "/.cache/cvmspawn";
        }
        (void) snprintf(qemu, sizeof(qemu), "%s%s/qemu/usr/bin/qemu-system-x86_64", cache, below);
        return access(qemu, X_OK) == 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(version_and_status),
                T(refusals),
                T(sev_without_sev),
                T(probes),
                T(disks_by_descriptor),
                T(no_cpu),
                cmocka_unit_test_setup_teardown(reset_vector, setup_q35, teardown),
                T(quit_is_clean),
                T(killed),
                cmocka_unit_test_setup_teardown(dies_at_start, setup_bad_option, teardown),
        };

        if (!find_qemu())
                return test_skip("no QEMU: set CVMSPAWN_QEMU, or let ./check fetch one into the cache");
        (void) alarm(300);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
