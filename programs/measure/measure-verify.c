/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --verify-by-launch: a real QEMU launches the same on the simulated host (cvmspawn sevsim), and both digests are compared. Only what
 * enters the digest is on its command line: devices, disks and networks of the other machine are not here. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "foreign-check.h"
#include "json.h"
#include "log.h"
#include "measure-cli.h"
#include "process.h"
#include "strutil.h"
#include "tree.h"

#define ANSWER_MAX (1024u * 1024u)
/* A launch takes a second; a busy machine many times that. */
#define LAUNCH_USEC (UINT64_C(300) * 1000 * 1000)

static int make_argv(const CliArguments *a, const char *record, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r = strv_push(&l, "cvmspawn sevsim");

        if (r >= 0)
                r = strv_push(&l, "--json=short");
        if (r >= 0)
                r = strv_pushf(&l, "--record=%s", record);
        /* In a simulation the device may be everybody's. */
        if (r >= 0 && geteuid() != 0)
                r = strv_push(&l, "--sev-node=0666");
        if (r >= 0)
                r = strv_push(&l, "--");
        if (r >= 0)
                r = strv_push(&l, a->qemu ?: "qemu-system-x86_64");
        STRV_FOREACH(s, a->foreign.argv)
                if (r >= 0)
                        r = strv_push(&l, *s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* What sevsim's answer says of the one launch: borrowed, NULL if there was none. */
static const char *launched(const Json *answer, const char *key) {
        const Json *launches = js_get(answer, "launches");

        return js_is_array(launches) && js_length(launches) > 0
                        ? js_string_value(js_get(js_at(launches, js_length(launches) - 1), key))
                        : NULL;
}

static int run_sevsim(const CliArguments *a, const char *record, Json **ret, char **reterr) {
        _cleanup_close_ int out = memfd_new("sevsim");
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *text = NULL, *path = NULL;
        Process p = PROCESS_NONE;
        siginfo_t status;
        ProcessSpec spec = { .stdin_fd = -EBADF, .stdout_fd = out, .stderr_fd = -EBADF };
        const char *line;
        size_t n;
        int r = out < 0 ? out : process_find_beside("sevsim", &path);

        if (r == -ENOENT)
                return error_set(reterr, r,
                                "--verify-by-launch: 'cvmspawn sevsim' is not installed beside this program");
        if (r >= 0)
                r = make_argv(a, record, &argv);
        if (r < 0)
                return r;
        spec.file = path;
        spec.argv = argv;
        r = process_spawn(&spec, &p, reterr);
        if (r >= 0)
                r = process_wait(&p, LAUNCH_USEC, &status);
        if (r < 0) {
                process_done(&p);
                return error_set(reterr, r, "--verify-by-launch: %s", strerror(-r));
        }
        if (lseek(out, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(out, ANSWER_MAX, &text, &n);
        if (r < 0)
                return r;
        while (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        line = strrchr(text, '\n');
        line = line ? line + 1 : text;
        return js_parse(line, strlen(line), ret, NULL) < 0
                        ? error_set(reterr, -EIO,
                                          "--verify-by-launch: QEMU launched nothing on the simulated host, "
                                          "see above")
                        : 0;
}

static int say_different(const char *folder, const MeasureContext *context, const LaunchSpec *spec,
                const char *digest, const char *computed, char **reterr) {
        _cleanup_free_ char *difference = NULL;
        int r = folder ? launched_difference(folder, context, spec, &difference, reterr) : 0;

        if (r < 0)
                return r;
        return error_set(reterr, -EBADMSG,
                        "--verify-by-launch: QEMU launched %s on the simulated host, but the computed digest is %s; the first difference is %s",
                        digest, computed, difference ?: "not among the loaded pages");
}

static int verify_by_launch(const CliArguments *a, const MeasureContext *context, const LaunchSpec *spec,
                const LaunchDigest *computed, char **reterr) {
        _cleanup_free_ char *hex = hex_encode(computed->bytes, computed->size);
        _cleanup_tree_ char *record = NULL;
        _cleanup_js_ Json *answer = NULL;
        const char *digest;
        int r;

        if (!hex)
                return -ENOMEM;
        if (!a->foreign.argv)
                return error_set(reterr, -EOPNOTSUPP, "--verify-by-launch: %s",
                                a->foreign.no_argv ?: "it requires --from-qemu= or --from-libvirt=");
        r = tree_make_temporary("cvmspawn-measure", &record, reterr);
        if (r >= 0)
                r = run_sevsim(a, record, &answer, reterr);
        if (r < 0)
                return r;
        digest = launched(answer, "digest");
        if (!digest)
                return error_set(reterr, -EIO,
                                "--verify-by-launch: QEMU refused this launch on the simulated host, see above; the computed digest is %s",
                                hex);
        if (!streq(digest, hex))
                return say_different(launched(answer, "folder"), context, spec, digest, hex, reterr);
        log_notice("a real QEMU launched the same digest on the simulated host");
        return 0;
}

int check_foreign(const CliArguments *a, const MeasureContext *context, char **reterr) {
        const MeasureRequest *q = context->request;
        LaunchSpec spec;
        LaunchDigest d;
        int r = 0;

        if (a->foreign.below_4g > 0 && coco_of(q->plan.mode)->guest_memfd)
                r = foreign_check_memory(&context->firmware.info, a->foreign.below_4g, reterr);
        if (r < 0 || (!a->verify_by_launch && !a->foreign.has_id_block))
                return r;
        measure_context_spec(context, q->vcpus[0], q->cpus, &spec);
        r = measure_context_digest(context, &spec, NULL, NULL, &d, reterr);
        if (r < 0)
                return r;
        if (a->foreign.has_id_block &&
                        memcmp(a->foreign.id_block_digest, d.bytes, sizeof(a->foreign.id_block_digest)) != 0)
                log_warning("the ID block on that line expects another launch digest: the secure processor refuses this launch");
        return a->verify_by_launch ? verify_by_launch(a, context, &spec, &d, reterr) : 0;
}
