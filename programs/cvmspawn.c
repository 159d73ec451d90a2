/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program that users type. It links libc only and hands over to `spawn`, or to the verb's own program when the very
 * first argument is a verb. The programs lie in libexec/cvmspawn, or beside this file in a build directory. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nearest.h"
#include "own-directory.h"

#define EXIT_REFUSED 125

static const struct {
        const char *verb, *zone, *summary;
} verbs[] = {
#include "verbs.inc"
};

static const char *find_verb(const char *word) {
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(verbs[i].verb, word) == 0 && !strchr(word, ' '))
                        return verbs[i].verb;
        return NULL;
}

/* Kernel arguments have a '=', a '.' or the like, or come after an option; a lone lower-case word is meant as a command. */
static bool looks_like_verb(const char *word) {
        size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz-");

        return word[0] != '-' && n > 0 && !word[n];
}

static int unknown_verb(const char *word) {
        Nearest nearest = nearest_to(word, strlen(word));

        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                nearest_offer(&nearest, verbs[i].verb);
        nearest_offer(&nearest, "help");
        fprintf(stderr, "cvmspawn: unknown command '%s'%s%s%s 'cvmspawn help' lists the commands; kernel arguments follow '--'\n",
                        word, nearest.best ? "; did you mean '" : ";", nearest.best ?: "",
                        nearest.best ? "'?" : "");
        return EXIT_REFUSED;
}

static int print_verbs(void) {
        /* A file that may not grow is an error, no reason to be killed. */
        (void) signal(SIGXFSZ, SIG_IGN);
        printf("cvmspawn [OPTIONS...] [--] [KERNEL ARGUMENTS...]   boot a guest, see cvmspawn --help\n"
               "cvmspawn COMMAND [OPTIONS...]                      see cvmspawn help COMMAND\n\n"
               "%-16s %-10s %s\n",
                        "COMMAND", "ZONE", "DESCRIPTION");
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                printf("%-16s %-10s %s\n", verbs[i].verb, verbs[i].zone, verbs[i].summary);
        printf("%-16s %-10s %s\n", "help", "-", "Print this list, or the help of a command");
        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        fprintf(stderr, "cvmspawn: cannot write to standard output: %s\n", strerror(errno));
        return EXIT_REFUSED;
}

int main(int argc, char **argv) {
        OwnDirectory here;
        char path[2 * PATH_MAX];
        const char *program = "spawn";
        const char *places[2] = { here.path, CVMSPAWN_LIBEXECDIR };

        if (argc > 1 && strcmp(argv[1], "help") == 0) {
                static char option[] = "--help";

                if (argc == 2)
                        return print_verbs();
                /* help VERB is VERB --help, and help owner agent likewise */
                for (int i = 1; i + 1 < argc; i++)
                        argv[i] = argv[i + 1];
                argv[argc - 1] = option;
                if (argv[1][0] != '-' && !find_verb(argv[1]))
                        return unknown_verb(argv[1]);
        }

        if (argc > 1 && looks_like_verb(argv[1]) && !find_verb(argv[1]))
                return unknown_verb(argv[1]);

        if (argc > 1 && find_verb(argv[1])) {
                bool agent = argc > 2 && strcmp(argv[1], "owner") == 0 && strcmp(argv[2], "agent") == 0;

                /* The one verb of two words: the program with the keys and the network is a separate one. */
                program = agent ? "owner-agent" : find_verb(argv[1]);
                argv[1 + agent] = argv[0];
                argv += 1 + agent;
        }

        if (own_directory(&here) < 0) {
                fprintf(stderr, "cvmspawn: cannot find the directory of this program: /proc is not mounted\n");
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
