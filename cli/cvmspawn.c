/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program that users type. It links libc only and hands over to `spawn`, or to the verb's own program when the very
 * first argument is a verb. The programs lie in libexec/cvmspawn, or beside this file in a build directory. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_REFUSED 125

static const struct {
        const char *verb, *zone, *summary;
} verbs[] = {
#include "verbs.inc"
};

static const char *find_verb(const char *word) {
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(verbs[i].verb, word) == 0)
                        return verbs[i].verb;
        return NULL;
}

/* The directory of this program without the trailing slash; 0 or -errno. */
static int own_directory(char ret[static PATH_MAX]) {
        ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
        char *slash;

        if (n < 0)
                return -errno;
        ret[n] = 0;
        slash = strrchr(ret, '/');
        if (!slash)
                return -EINVAL;
        *slash = 0;
        return 0;
}

static int print_verbs(void) {
        printf("cvmspawn [OPTIONS...] [--] [KERNEL WORDS...]   boots a guest, see cvmspawn --help\n"
               "cvmspawn VERB [OPTIONS...]                     see cvmspawn VERB --help\n\n"
               "%-16s %-10s %s\n",
                        "VERB", "ZONE", "WHAT IT DOES");
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                printf("%-16s %-10s %s\n", verbs[i].verb, verbs[i].zone, verbs[i].summary);
        printf("%-16s %-10s %s\n", "help", "-", "prints this list");
        return 0;
}

int main(int argc, char **argv) {
        char here[PATH_MAX], path[2 * PATH_MAX];
        const char *program = "spawn";
        const char *places[2] = { here, CVMSPAWN_LIBEXECDIR };

        if (argc > 1 && strcmp(argv[1], "help") == 0)
                return print_verbs();

        if (argc > 1 && find_verb(argv[1])) {
                program = find_verb(argv[1]);
                argv[1] = argv[0];
                argv++;
        }

        if (own_directory(here) < 0) {
                fprintf(stderr, "cvmspawn: cannot tell where this program lies: /proc is not mounted\n");
                return EXIT_REFUSED;
        }

        /* In a build directory the programs lie beside this one; an installed one never finds them there. */
        for (size_t i = 0; i < 2; i++) {
                (void) snprintf(path, sizeof(path), i == 0 ? "%s/verb-%s" : "%s/%s", places[i], program);
                (void) execv(path, argv);
                if (errno != ENOENT)
                        break;
        }

        fprintf(stderr, "cvmspawn: cannot run '%s': %s; reinstall cvmspawn, or build it with ninja\n", path,
                        strerror(errno));
        return EXIT_REFUSED;
}
