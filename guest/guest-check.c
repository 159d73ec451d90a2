/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "strutil.h"

#define MSR_SEV_STATUS 0xc0010131 /* AMD 24593, APM volume 2, 15.34.10 */

static const char *const state_names[] = {
        [GUEST_STATE_MISSING] = "FAIL",
        [GUEST_STATE_OK] = "PASS",
        [GUEST_STATE_OFF] = "OFF",
        [GUEST_STATE_UNKNOWN] = "SKIP",
};
static_assert(ELEMENTSOF(state_names) == _GUEST_STATE_MAX, "every state has a name");

/* Bits of SEV_STATUS; the first three make an SNP guest. */
static const struct {
        const char *name;
        unsigned bit;
} msr_bits[] = {
        { "SEV", 0 },
        { "SEV-ES", 1 },
        { "SNP", 2 },
        { "vTOM", 3 },
        { "Reflect VC", 4 },
        { "Restricted injection", 5 },
        { "Alternate injection", 6 },
        { "Debug swap", 7 },
        { "Prevent host IBS", 8 },
        { "SNP BTB isolation", 9 },
        { "VMPL SSS", 10 },
        { "Secure TSC", 11 },
        { "VMGEXIT parameter", 12 },
        { "IBS virtualization", 14 },
        { "VMSA register protection", 16 },
        { "SMT protection", 17 },
};

const char *guest_state_to_string(GuestState s) {
        return s >= 0 && s < _GUEST_STATE_MAX ? state_names[s] : NULL;
}

static void add(GuestFindings *f, const char *name, GuestState state, bool optional, const char *remedy) {
        assert(f->n < GUEST_FINDINGS_MAX);
        f->list[f->n++] = (GuestFinding) { name, state == GUEST_STATE_OK ? NULL : remedy, state, optional };
        if (!optional && state != GUEST_STATE_OK)
                f->ok = false;
}

static bool exists(const char *root, const char *path) {
        char whole[4096];
        int n = snprintf(whole, sizeof(whole), "%s%s", root, path);

        return n > 0 && (size_t) n < sizeof(whole) && access(whole, F_OK) == 0;
}

static int read_msr(const char *root, uint64_t *ret) {
        _cleanup_close_ int fd = -EBADF;
        char whole[4096];
        uint8_t b[8];
        int n = snprintf(whole, sizeof(whole), "%s/dev/cpu/0/msr", root), r;

        if (n < 0 || (size_t) n >= sizeof(whole))
                return -ENAMETOOLONG;
        fd = fd_open(whole, O_RDONLY, 0);
        if (fd < 0)
                return fd;
        r = fd_pread_exact(fd, b, sizeof(b), MSR_SEV_STATUS);
        if (r < 0)
                return r;
        *ret = le64_read(b);
        return 0;
}

static void check_msr(const char *root, GuestFindings *f) {
        uint64_t status = 0;
        int r = read_msr(root, &status);

        if (r < 0) {
                add(f, "SEV status register",
                                r == -ENOENT || r == -EACCES || r == -EPERM ? GUEST_STATE_UNKNOWN
                                                                            : GUEST_STATE_MISSING,
                                false,
                                r == -ENOENT ? "modprobe msr, and run as root"
                                                : r == -EACCES || r == -EPERM
                                                ? "run as root"
                                                : "this processor has no such register: this is not a SEV guest");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(msr_bits); i++) {
                bool optional = msr_bits[i].bit > 2, set = status >> msr_bits[i].bit & 1;

                add(f, msr_bits[i].name,
                                set                        ? GUEST_STATE_OK
                                                : optional ? GUEST_STATE_OFF
                                                           : GUEST_STATE_MISSING,
                                optional,
                                optional ? NULL
                                         : "this guest was not launched with it: see --coco= of the launcher");
        }
}

void guest_check(const char *root, GuestFindings *ret) {
        GuestFindings f = { .ok = true };
        bool device, tree;

        check_msr(root, &f);
        device = exists(root, "/dev/sev-guest");
        tree = exists(root, "/sys/kernel/config/tsm/report");
        add(&f, "Report interface", device || tree ? GUEST_STATE_OK : GUEST_STATE_MISSING, false,
                        "modprobe sev-guest (CONFIG_SEV_GUEST)");
        add(&f, "/dev/sev-guest", device ? GUEST_STATE_OK : GUEST_STATE_OFF, true, "modprobe sev-guest");
        add(&f, "configfs", exists(root, "/sys/kernel/config/tsm") ? GUEST_STATE_OK : GUEST_STATE_OFF, true,
                        "mount -t configfs none /sys/kernel/config, then modprobe tsm and sev-guest");
        add(&f, "TSM report tree", tree ? GUEST_STATE_OK : GUEST_STATE_OFF, true,
                        "use Linux 6.7 or later, modprobe sev-guest");
        add(&f, "Injected secrets",
                        exists(root, "/sys/kernel/security/secrets/coco") ? GUEST_STATE_OK : GUEST_STATE_OFF,
                        true, "SEV and SEV-ES only: modprobe efi_secret (CONFIG_EFI_SECRET)");
        *ret = f;
}

int guest_findings_json(const GuestFindings *f, Json **ret) {
        _cleanup_js_ Json *a = js_array();

        if (!a)
                return -ENOMEM;
        FOREACH_ARRAY(x, f->list, f->n) {
                Json *o = NULL;
                int r;

                r = js_build(&o, "{s:s, s:s, s:b, s:s?}", "name", x->name, "state",
                                guest_state_to_string(x->state), "optional", (int) x->optional, "remedy",
                                x->remedy);
                if (r == 0)
                        r = js_append(a, o);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(a);
        return 0;
}
