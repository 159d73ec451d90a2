/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-tables.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "process.h"
#include "run-output.h"
#include "run-qtest.h"
#include "strutil.h"
#include "tree.h"

#define FOLDER      "tables"
#define KEY_MAX     (256u * 1024u)
#define ANSWER_USEC (30 * UINT64_C(1000000))

static const char *const files[] = { "etc/table-loader", "etc/acpi/rsdp", "etc/acpi/tables",
        "etc/smbios/smbios-tables" };

/* Everything that the tables depend on: QEMU's program, and what it is told. */
static int make_key(const QemuCommand *command, char **ret, char **reterr) {
        _cleanup_(text_done) Text t = {};
        struct stat st;

        if (stat(command->argv[0], &st) < 0)
                return error_set(reterr, -errno, "--fw-cfg=auto: cannot run '%s': %m", command->argv[0]);
        text_putf(&t, "cvmspawn-tables/1\n%llu:%llu:%llu:%lld.%09ld\n", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino, (unsigned long long) st.st_size,
                        (long long) st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        STRV_FOREACH(s, command->argv)
                text_putf(&t, "%s\n", *s);
        return text_finish(&t, ret);
}

/* FNV-1a: only a name; the key itself is compared. */
static uint64_t name_of(const char *key) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *key; key++)
                h = (h ^ (uint8_t) *key) * UINT64_C(0x100000001b3);
        return h;
}

static bool is_kept(const char *folder, const char *key) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n;

        if (asprintf(&path, "%s/key", folder) < 0) {
                path = NULL;
                return false;
        }
        return file_read_all(path, KEY_MAX, &text, &n) >= 0 && streq(text, key);
}

static int write_one(const char *folder, const char *name, const void *data, size_t size) {
        _cleanup_free_ char *path = NULL;
        char *slash;
        int r;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        slash = strrchr(path, '/');
        *slash = 0;
        r = make_directories(path);
        *slash = '/';
        return r < 0 ? r : file_write_atomic(path, data, size, 0644, ATOMIC_FILE_REPLACE);
}

static int read_all(Qtest *q, const char *folder, char **reterr) {
        int r = qtest_place_devices(q, reterr);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(files); i++) {
                _cleanup_free_ uint8_t *data = NULL;
                size_t size;

                r = qtest_read_file(q, files[i], &data, &size, reterr);
                if (r == -ENOENT)
                        return error_set(reterr, r, "this QEMU has no '%s' for its firmware", files[i]);
                if (r >= 0)
                        r = write_one(folder, files[i], data, size);
        }
        return r;
}

static int start(const QemuCommand *command, const QemuUser *user, int *ret_in, int *ret_out, Process *ret,
                char **reterr) {
        const int keep[] = { LAUNCH_FD_FIRMWARE };
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        int to[2], from[2], r;

        if (pipe2(to, O_CLOEXEC) < 0)
                return -errno;
        in = to[0];
        *ret_in = to[1];
        if (pipe2(from, O_CLOEXEC) < 0)
                return -errno;
        *ret_out = from[0];
        out = from[1];
        r = process_spawn(&(ProcessSpec) { .file = command->argv[0],
                                          .argv = command->argv,
                                          .stdin_fd = in,
                                          .stdout_fd = out,
                                          .stderr_fd = STDERR_FILENO,
                                          .keep_fds = keep,
                                          .n_keep_fds = ELEMENTSOF(keep),
                                          .own_group = true,
                                          .prepare = run_become_qemu,
                                          .userdata = (void *) user },
                        ret, reterr);
        return r;
}

static int read_tables(const QemuCommand *command, const QemuUser *user, const char *folder, char **reterr) {
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        _cleanup_(qtest_done) Qtest q = { .deadline = monotonic_usec() + ANSWER_USEC };
        int r = start(command, user, &in, &out, &p, reterr);

        q.in = in;
        q.out = out;
        return r < 0 ? r : read_all(&q, folder, reterr);
}

/* Whole under its name, or not there. */
static int keep(const QemuCommand *command, const QemuUser *user, const char *folder, const char *key,
                char **reterr) {
        _cleanup_free_ char *part = NULL;
        int r;

        if (asprintf(&part, "%s.%d", folder, (int) getpid()) < 0) {
                part = NULL;
                return -ENOMEM;
        }
        r = read_tables(command, user, part, reterr);
        if (r >= 0)
                r = write_one(part, "key", key, strlen(key));
        /* Somebody was faster, or an older one of the same name is in the way. */
        if (r >= 0 && rename(part, folder) < 0) {
                free(tree_remove(strdup(folder)));
                r = rename(part, folder) < 0 ? -errno : 0;
        }
        if (r < 0)
                part = tree_remove(part);
        return r;
}

int run_tables(const RunRequest *request, char **ret, char **reterr) {
        _cleanup_(qemu_command_done) QemuCommand command = {};
        _cleanup_free_ char *cache = NULL, *key = NULL, *folder = NULL;
        int r = compose_tables(
                        request->config, request->inputs, request->caps, request->choices, &command, reterr);

        if (r >= 0)
                r = make_key(&command, &key, reterr);
        if (r >= 0)
                r = cache_folder(FOLDER, &cache);
        if (r >= 0 && !cache)
                r = error_set(reterr, -ENOENT,
                                "--fw-cfg=auto: neither XDG_CACHE_HOME nor HOME says where tables can be kept: pass a folder with them");
        if (r >= 0)
                r = make_directories(cache);
        if (r < 0)
                return r;
        if (asprintf(&folder, "%s/%016" PRIx64, cache, name_of(key)) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        if (!is_kept(folder, key)) {
                r = keep(&command, request->user, folder, key, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "--fw-cfg=auto");
        }
        *ret = TAKE_PTR(folder);
        return 0;
}
