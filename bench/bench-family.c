/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long it takes to find a member of an SNP family, in processor time: the last of 512 vCPUs of the first CPU model, of the last one, and one that
 * is in none.
 *
 *     ninja -C b bench/bench-family && b/bench/bench-family */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measure-family.h"
#include "sev-cpu.h"

#define VCPUS 512u
#define RUNS  50u

static double now(void) {
        struct timespec t;

        if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) < 0)
                exit(1);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec * 1e-6;
}

static void find(const LaunchFamily *f, const char *what, const LaunchDigest *d, uint32_t first,
                int expected) {
        double begin = now();
        FamilyMember m;

        for (unsigned i = 0; i < RUNS; i++)
                if (launch_family_find(f, d->bytes, VCPUS, first, &m) != expected) {
                        fprintf(stderr, "bench-family: %s: found wrongly\n", what);
                        exit(1);
                }
        printf("%s: %.3f ms\n", what, (now() - begin) / RUNS);
}

int main(void) {
        uint32_t common = sev_cpu_signature(23, 1, 2), turin = sev_cpu_signature(26, 0, 0);
        LaunchFamily f = {
                .mode = COCO_SEV_SNP, .profile = VMM_QEMU, .reset_address = 0x80b004, .features = 1
        };
        LaunchDigest first, last, none;

        memset(f.seed, 0x5a, sizeof(f.seed));
        if (launch_family_digest(&f, VCPUS, common, &first) < 0 ||
                        launch_family_digest(&f, VCPUS, turin, &last) < 0)
                return 1;
        none = last;
        none.bytes[0] ^= 1;
        find(&f, "512 vCPUs of EPYC-v4", &first, 0, 1);
        find(&f, "512 vCPUs of EPYC-Turin", &last, 0, 1);
        find(&f, "the same, as the report names the CPU", &last, turin, 1);
        find(&f, "no member", &none, 0, 0);
        return 0;
}
