/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Programs of other projects that read what strangers wrote: qemu-img and grub-fstest. Each can open the files that it is given and those of the
 * system, and nothing else: an image that names other files, or a host of the network, gets neither. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine.h"
#include "error.h"
#include "extract.h"
#include "fd.h"
#include "strutil.h"

#define PATHS_MAX   24u
#define CPU_SECONDS 600u
#define MEMORY_MAX                                                                                          \
        (UINT64_C(4) << 30) /* addresses; more than twice of what qemu-img reserves for threads and libraries */
#define ERROR_MAX 4096u
#define SAID_MAX  400u

/* What starting a program takes, where it is there. */
static const char *const system_paths[] = { "/usr", "/lib", "/lib64", "/lib32", "/bin", "/nix/store",
        "/etc/ld.so.cache", "/etc/ld.so.preload", "/dev/urandom", "/dev/null" };

typedef struct Confinement {
        ConfinePath paths[PATHS_MAX];
        size_t n;
        uint64_t file_max;
} Confinement;

static int set_limit(int resource, uint64_t value) {
        const struct rlimit l = { value, value };

        return setrlimit(resource, &l) < 0 ? -errno : 0;
}

static int prepare(void *userdata) {
        const Confinement *c = userdata;
        int r = confine_no_new_privileges();

        if (r >= 0)
                r = set_limit(RLIMIT_CPU, CPU_SECONDS);
        if (r >= 0)
                r = set_limit(RLIMIT_AS, MEMORY_MAX);
        if (r >= 0)
                r = set_limit(RLIMIT_CORE, 0);
        if (r >= 0 && c->file_max > 0)
                r = set_limit(RLIMIT_FSIZE, c->file_max);
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = confine_to_paths(c->paths, c->n);
        return r < 0 ? r : confine_foreign_program();
}

static void add_path(Confinement *c, ConfinePath p) {
        if (c->n < PATHS_MAX && access(p.path, F_OK) >= 0)
                c->paths[c->n++] = p;
}

/* The last line of what it said, which comes from the image in part. */
static char *last_words(int fd) {
        char text[ERROR_MAX + 1], *last = NULL, *rest = text;
        ssize_t n = pread(fd, text, ERROR_MAX, 0);

        text[n < 0 ? 0 : n] = 0;
        for (char *line; (line = strsep(&rest, "\n"));)
                if (*line)
                        last = line;
        last = last ? strdup(last) : NULL;
        if (last)
                text_flatten(last, SAID_MAX);
        return last;
}

static int judge(const ForeignRun *run, const siginfo_t *status, int said, char **reterr) {
        _cleanup_free_ char *words = NULL;

        if (status->si_code == CLD_EXITED && status->si_status == 0)
                return 0;
        if (status->si_code != CLD_EXITED)
                return error_set(reterr, -EIO, "%s was ended by signal %d (limit: %u s of processor time)",
                                run->argv[0], status->si_status, CPU_SECONDS);
        words = last_words(said);
        return error_set(reterr, -EBADMSG, "%s failed: %s", run->argv[0], words ?: "it gave no reason");
}

int foreign_find(const char *program, const char *package, char **ret, char **reterr) {
        int r = process_find_program(program, ret);

        if (r >= 0 && !*ret)
                r = error_set(reterr, -ENOPKG, "%s is not installed: install the Debian package %s", program,
                                package);
        return r;
}

int foreign_run(const ForeignRun *run, char **reterr) {
        static char *const environment[] = { (char *) "LC_ALL=C", (char *) "PATH=/usr/bin:/bin", NULL };
        char read_paths[FOREIGN_FILES_MAX][32], write_path[32];
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_close_ int said = memfd_new("extract-said");
        Confinement c = { .file_max = run->file_max };
        int keep[FOREIGN_FILES_MAX + 1];
        size_t n_keep = 0;
        siginfo_t status;
        int r;

        if (said < 0)
                return said;
        FOREACH_ARRAY(path, system_paths, ELEMENTSOF(system_paths))
                add_path(&c, (ConfinePath) { .path = *path, .execute = true });
        add_path(&c, (ConfinePath) { .path = run->program, .execute = true });
        /* grub-fstest opens the root directory before anything else. */
        add_path(&c, (ConfinePath) { .path = "/", .names = true });
        for (size_t i = 0; i < run->n_files; i++) {
                (void) snprintf(read_paths[i], sizeof(read_paths[i]), "/proc/self/fd/%d", run->files[i]);
                add_path(&c, (ConfinePath) { .path = read_paths[i] });
                keep[n_keep++] = run->files[i];
        }
        if (run->write >= 0) {
                (void) snprintf(write_path, sizeof(write_path), "/proc/self/fd/%d", run->write);
                add_path(&c, (ConfinePath) { .path = write_path, .write = true });
                keep[n_keep++] = run->write;
        }
        r = process_spawn(&(ProcessSpec) { .file = run->program,
                                          .argv = run->argv,
                                          .env = environment,
                                          .stdin_fd = -EBADF,
                                          .stdout_fd = run->out,
                                          .stderr_fd = said,
                                          .keep_fds = keep,
                                          .n_keep_fds = n_keep,
                                          .prepare = prepare,
                                          .userdata = &c },
                        &p, reterr);
        if (r == -EOPNOTSUPP) {
                free(*reterr);
                *reterr = NULL;
                return error_set(reterr, r,
                                "%s can be started only where Landlock keeps it from other files, and this kernel has none: use Linux 5.13 or later with it (lsm=landlock,...)",
                                run->argv[0]);
        }
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &status);
        return r < 0 ? r : judge(run, &status, said, reterr);
}
