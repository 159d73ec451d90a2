/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sevsim-guest-device [OPTIONS] PLATFORM: the simulated processor inside a guest that runs without SEV-SNP, for tests. It makes
 * /dev/sev-guest and covers /sys/kernel/config/tsm/report, and programs that use them get reports signed by the made-up VCEK of PLATFORM, a
 * folder of sevsim-identity: what only works in a real SNP guest runs unmodified, launch to verdict. It returns when both answer
 * and goes on in the background.
 *
 *   modprobe -a cuse tsm_report; mount -t configfs none /sys/kernel/config      (in the guest; its kernel has both as modules)
 *   sevsim-guest-device --measurement=DIGEST /run/platform
 *
 * The program is dynamic and needs libc and libcrypto.so.3 of the guest. It comes in its own initrd after the guest's; PLATFORM and
 * DIGEST must not come in an initrd, which would change the very digest: a disk carries them (tests/integration/guest_device.py,
 * which has all of this as one call). --faults=FILE names a file of words that say what goes wrong, read at each request: dev.h. */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev.h"

#define TSM "/sys/kernel/config/tsm/report"

static const char usage[] =
                "Usage: sevsim-guest-device [OPTIONS] PLATFORM\n"
                "Plays the SNP guest device and the TSM report tree in this guest. A simulation: its reports are not AMD's.\n"
                "  --measurement=HEX --host-data=HEX --policy=N --guest-svn=N   what the reports say\n"
                "  --launch=FOLDER   ... as they would in a launch that sevsim recorded there\n"
                "  --vlek            the host loaded a VLEK\n"
                "  --no-certs        the host has no certificates to give\n"
                "  --vmpl=N          the guest's own level\n"
                "  --faults=FILE     words that say what goes wrong\n"
                "  --no-device, --no-tsm   without /dev/sev-guest, without the tree\n"
                "  --tsm=DIR         the tree covers this directory instead\n";

typedef struct Options {
        DevLaunch launch;
        DevFaults faults;
        const char *platform, *tsm;
        uint32_t vmpl;
        bool vlek, no_certs, no_device, no_tsm, help;
} Options;

static int parse_hex(const char *hex, uint8_t *ret, size_t size) {
        if (strlen(hex) != 2 * size || strspn(hex, "0123456789abcdefABCDEF") != 2 * size)
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                const char digits[] = { hex[2 * i], hex[2 * i + 1], 0 };
                ret[i] = (uint8_t) strtoul(digits, NULL, 16);
        }
        return 0;
}

static int parse(int argc, char **argv, Options *o) {
        static const struct option options[] = {
                { "measurement", required_argument, NULL, 'm' },
                { "host-data", required_argument, NULL, 'd' },
                { "policy", required_argument, NULL, 'p' },
                { "guest-svn", required_argument, NULL, 's' },
                { "launch", required_argument, NULL, 'l' },
                { "vmpl", required_argument, NULL, 'v' },
                { "faults", required_argument, NULL, 'f' },
                { "vlek", no_argument, NULL, 'k' },
                { "no-certs", no_argument, NULL, 'c' },
                { "no-device", no_argument, NULL, 'D' },
                { "no-tsm", no_argument, NULL, 'T' },
                { "tsm", required_argument, NULL, 't' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c, r = 0;

        while (r == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'm':
                        r = parse_hex(optarg, o->launch.measurement, sizeof(o->launch.measurement));
                        break;
                case 'd':
                        r = parse_hex(optarg, o->launch.host_data, sizeof(o->launch.host_data));
                        break;
                case 'p':
                        o->launch.policy = strtoull(optarg, NULL, 0);
                        break;
                case 's':
                        o->launch.guest_svn = (uint32_t) strtoul(optarg, NULL, 0);
                        break;
                case 'l':
                        o->launch.folder = optarg;
                        break;
                case 'v':
                        o->vmpl = (uint32_t) strtoul(optarg, NULL, 0);
                        break;
                case 'f':
                        o->faults.path = optarg;
                        break;
                case 'k':
                        o->vlek = true;
                        break;
                case 'c':
                        o->no_certs = true;
                        break;
                case 'D':
                        o->no_device = true;
                        break;
                case 'T':
                        o->no_tsm = true;
                        break;
                case 't':
                        o->tsm = optarg;
                        break;
                case 'h':
                        o->help = true;
                        break;
                default:
                        r = -EINVAL;
                }
        o->platform = optind == argc - 1 ? argv[optind] : NULL;
        return r < 0 || o->help ? r : o->platform && o->vmpl <= DEV_VMPL_MAX ? 0 : -EINVAL;
}

static void serve(Dev *d, void (*request)(Dev *, const struct fuse_in_header *, const void *)) {
        static _Alignas(8) uint8_t buffer[DEV_BUFFER_SIZE];
        const struct fuse_in_header *h = (const void *) buffer;
        ssize_t n = read(d->fd, buffer, sizeof(buffer) - 1);

        if (n < (ssize_t) sizeof(*h)) {
                if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
                        return;     /* who asked has gone */
                exit(EXIT_SUCCESS); /* unmounted */
        }
        buffer[n] = 0; /* names end, whatever comes */
        dev_faults_read(d->faults);
        d->psp->table_damaged = d->faults->bad_table;
        d->psp->vlek_loaded = d->vlek || d->faults->vlek;
        d->psp->vmpl = d->faults->vmpl ?: d->vmpl;
        request(d, h, h + 1);
}

static _Noreturn void loop(Dev *d, int cuse, int fuse) {
        struct pollfd polls[] = { { .fd = cuse, .events = POLLIN }, { .fd = fuse, .events = POLLIN } };

        for (;;) {
                if (poll(polls, 2, -1) < 0 && errno != EINTR)
                        exit(EXIT_FAILURE);
                for (unsigned i = 0; i < 2; i++)
                        if (polls[i].revents) {
                                d->fd = polls[i].fd;
                                serve(d, i == 0 ? dev_cuse_request : dev_tsm_request);
                        }
        }
}

static int fail(const char *what, int r) {
        fprintf(stderr, "sevsim-guest-device (simulation): %s: %s\n", what, strerror(-r));
        return EXIT_FAILURE;
}

int main(int argc, char **argv) {
        static DevPsp psp;
        Options o = { .launch = { .policy = 0x30000 }, .tsm = TSM };
        Dev d = { .psp = &psp, .faults = &o.faults, .tsm = dev_tsm_new() };
        int r = parse(argc, argv, &o), cuse = -EBADF, fuse = -EBADF;
        pid_t child;

        if (r < 0 || o.help) {
                fputs(usage, r < 0 ? stderr : stdout);
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        d.vlek = o.vlek;
        d.vmpl = o.vmpl;
        r = dev_psp_open(o.platform, &o.launch, !o.no_certs, &psp);
        if (r < 0 || !d.tsm)
                return fail(o.platform, r < 0 ? r : -ENOMEM);
        if (!o.no_device && (cuse = dev_cuse_start("/dev/cuse", "sev-guest")) < 0)
                return fail("cannot make /dev/sev-guest through /dev/cuse", cuse);
        if (!o.no_tsm && (fuse = dev_tsm_start("/dev/fuse", o.tsm)) < 0)
                return fail(o.tsm, fuse);

        child = fork();
        if (child < 0)
                return fail("cannot fork", -errno);
        if (child > 0) {
                fprintf(stderr, "sevsim-guest-device (simulation): reports from here on are SIMULATED\n");
                return EXIT_SUCCESS;
        }
        /* A reader that waits for the end of our starter's output must not wait for us. */
        if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout) ||
                        !freopen("/dev/null", "w", stderr))
                return EXIT_FAILURE;
        (void) setsid();
        loop(&d, cuse, fuse);
}
