/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The programs and files of the simulation that lie beside this one, and what they make and say. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "own-directory.h"
#include "process.h"
#include "sevsim-parts.h"
#include "strutil.h"

/* Installed beside this program, or in the tests' room of a build directory. */
int sevsim_find_part(const char *name, char **ret, char **reterr) {
        static const char *const places[] = { "", "/../sevsim" };
        OwnDirectory here;
        int r = own_directory(&here);

        if (r < 0)
                return error_set(reterr, r,
                                "cannot find the directory of this program: /proc is not mounted");
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s%s/%s", here.path, places[i], name) < 0)
                        return -ENOMEM;
                if (access(path, R_OK) >= 0) {
                        *ret = realpath(path, NULL);
                        return *ret ? 0 : -errno;
                }
        }
        return error_set(reterr, -ENOENT, "'%s' is not installed beside this program; reinstall cvmspawn",
                        name);
}

/* argv[0] is filled in. 0, or the exit status; -EIO: it was ended by a signal. */
static int run_part(const char *name, char **argv, bool quiet, char **reterr) {
        _cleanup_free_ char *tool = NULL;
        _cleanup_(process_done) Process p = PROCESS_NONE;
        siginfo_t end;
        int r;

        r = sevsim_find_part(name, &tool, reterr);
        if (r < 0)
                return r;
        argv[0] = tool;
        r = process_spawn(&(ProcessSpec) { .file = tool,
                                          .argv = argv,
                                          .stdin_fd = -1,
                                          .stdout_fd = quiet ? -1 : STDOUT_FILENO,
                                          .stderr_fd = STDERR_FILENO },
                        &p, reterr);
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &end);
        argv[0] = NULL;
        if (r < 0)
                return r;
        return end.si_code == CLD_EXITED ? end.si_status : -EIO;
}

int sevsim_make_identity(const char *folder, bool complete, const char *generation, char **reterr) {
        _cleanup_free_ char *option = NULL;
        char *argv[5] = {};
        size_t n = 1;
        int r;

        if (asprintf(&option, "--generation=%s", generation ?: "genoa") < 0)
                return -ENOMEM;
        argv[n++] = option;
        if (!complete)
                argv[n++] = (char *) "--short";
        argv[n] = (char *) folder;
        r = run_part("sevsim-identity", argv, /* quiet= */ true, reterr);
        return r > 0 || r == -EIO
                        ? error_set(reterr, -EIO, "cannot create a platform identity in '%s'", folder)
                        : r;
}

bool sevsim_has_identity(const char *folder) {
        _cleanup_free_ char *certificate = NULL;

        return asprintf(&certificate, "%s/pdh.cert", folder) >= 0 && access(certificate, R_OK) >= 0;
}

int sevsim_list_faults(char **reterr) {
        char *argv[2] = {};
        int r;

        (void) fflush(stdout);
        r = run_part("sevsim-faults", argv, /* quiet= */ false, reterr);
        return r > 0 ? -EIO : r;
}

int sevsim_check_faults(const char *names, char **reterr) {
        char *argv[3] = { NULL, (char *) names, NULL };
        int r = run_part("sevsim-faults", argv, /* quiet= */ true, reterr);

        return r > 0 ? error_set(reterr, -EINVAL, "--faults= needs names of errors of the simulated host")
                     : r;
}
