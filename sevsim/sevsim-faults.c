/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sevsim-faults: lists the errors that the simulated host knows, one in a line: name, step, meaning. sevsim-faults NAMES: whether
 * it knows them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim-fault.h"

static void print_list(void) {
        printf("%-26s %-18s %s\n", "NAME (simulation)", "STEP", "ERROR");
        for (size_t i = 0; i < sim_faults_n; i++) {
                const SimFault *f = sim_faults + i;

                printf("%-26s %-18s ", f->name, fault_step_to_string(f->step));
                if (f->firmware)
                        printf("secure processor: %s (%u)\n", f->text, f->firmware);
                else if (f->step == FAULT_VM_TYPES)
                        printf("%s\n", f->text);
                else
                        printf("%s (%s)\n", f->text, strerrorname_np(f->error));
        }
}

int main(int argc, char *argv[]) {
        const char *p = argc == 2 ? argv[1] : NULL;

        if (argc > 2 || (p && strcmp(p, "--help") == 0)) {
                fputs("Usage: sevsim-faults [NAME[@STEP],...]\n"
                      "Lists the errors of the simulated host, or checks names of them. A simulation.\n",
                                argc > 2 ? stderr : stdout);
                return argc > 2 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        if (!p) {
                print_list();
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        for (size_t n = strcspn(p, ",");; p += n + 1, n = strcspn(p, ",")) {
                FaultStep step;

                if (!fault_parse(p, &step)) {
                        fprintf(stderr,
                                        "cvmspawn sevsim (simulation): '%.*s' is not an error of the simulated host, or does not occur at that step; "
                                        "'--faults=list' shows them\n",
                                        (int) n, p);
                        return EXIT_FAILURE;
                }
                if (!p[n])
                        return EXIT_SUCCESS;
        }
}
