/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sev-guest or sev-snp-guest object: mode, features and hashes, and what QEMU and KVM check of it (QEMU target/i386/sev.c, qapi/qom.json;
 * Linux arch/x86/kvm/svm/sev.c). */

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "foreign-launch.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

#define POLICY_SNP_DEFAULT 0x30000u
/* AMD 56860, "Guest Policy": bit 17 must be one; bits from 26 on are reserved. */
#define POLICY_SNP_ONE      (1u << 17)
#define POLICY_SNP_RESERVED (~UINT64_C(0) << 26)
/* SEV_FEATURES, AMD 24593, 15.36.5 and appendix B. */
#define FEATURE_SNP        0x1u
#define FEATURE_DEBUG_SWAP 0x20u
#define FEATURE_SECURE_TSC 0x200u
/* Each processor with SEV-SNP has the C-bit there. */
#define SNP_CBITPOS 51u

#define REFUSES "QEMU refuses this launch: "

static int read_bool(const Pairs *p, const char *name, bool *ret, char **reterr) {
        const char *text = pairs_get(p, name);
        int r;

        *ret = false;
        if (!text)
                return 0;
        r = qemu_boolean(text);
        if (r < 0)
                return error_set(reterr, r, REFUSES "%s=%s is neither on nor off", name, text);
        *ret = r;
        return 0;
}

static int read_number(const Pairs *p, const char *name, uint64_t fallback, uint64_t max, uint64_t *ret,
                char **reterr) {
        const char *text = pairs_get(p, name);
        unsigned long long n = fallback;

        if (text && (qemu_number(text, &n) < 0 || n > max))
                return error_set(reterr, -EINVAL, REFUSES "%s=%s is not a number up to 0x%llx", name, text,
                                (unsigned long long) max);
        *ret = n;
        return 0;
}

static int check_bits(const Pairs *p, bool snp, char **reterr) {
        uint64_t cbitpos, reduced;
        int r = read_number(p, "cbitpos", 0, UINT32_MAX, &cbitpos, reterr);

        if (r >= 0)
                r = read_number(p, "reduced-phys-bits", 0, UINT32_MAX, &reduced, reterr);
        if (r < 0)
                return r;
        if (!pairs_get(p, "reduced-phys-bits"))
                return error_set(reterr, -EINVAL, REFUSES "the SEV object has no reduced-phys-bits");
        if (reduced < 1 || reduced > 63)
                return error_set(reterr, -ERANGE, REFUSES "reduced-phys-bits is %llu, not 1 to 63",
                                (unsigned long long) reduced);
        if (cbitpos == 0 || (snp && cbitpos != SNP_CBITPOS))
                return error_set(reterr, -EINVAL,
                                REFUSES "cbitpos is %llu, but must be that of the processor (SEV-SNP: %u)",
                                (unsigned long long) cbitpos, SNP_CBITPOS);
        return 0;
}

/* Base64 with a fixed size. */
int foreign_read_bytes(
                const Pairs *p, const char *name, size_t min, size_t max, uint8_t **ret, char **reterr) {
        const char *text = pairs_get(p, name);
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;

        *ret = NULL;
        if (!text)
                return 0;
        if (base64_decode(text, strlen(text), &data, &size) < 0)
                return error_set(reterr, -EINVAL, REFUSES "%s is not base64", name);
        if (size < min || size > max)
                return error_set(reterr, -EINVAL, REFUSES "%s has %zu bytes, not %zu", name, size, max);
        *ret = TAKE_PTR(data);
        return 0;
}

static int check_blobs(const Pairs *p, ForeignLaunch *l, char **reterr) {
        static const struct {
                const char *name;
                size_t min, max;
        } blobs[] = {
                { "host-data", 32, 32 },
                { "guest-visible-workarounds", 16, 16 },
                { "id-auth", 0, 4096 },
                { "id-block", 96, 96 },
        };

        FOREACH_ARRAY(b, blobs, ELEMENTSOF(blobs)) {
                _cleanup_free_ uint8_t *data = NULL;
                int r = foreign_read_bytes(p, b->name, b->min, b->max, &data, reterr);

                if (r < 0)
                        return r;
                if (data && streq(b->name, "id-block")) {
                        l->has_id_block = true;
                        memcpy(l->id_block_digest, data, sizeof(l->id_block_digest)); /* its first field */
                }
        }
        if (l->has_id_block && !pairs_get(p, "id-auth"))
                return error_set(reterr, -EINVAL, "KVM refuses this launch: id-block without id-auth");
        return 0;
}

static int read_snp(const QemuObject *sev, ForeignLaunch *l, char **reterr) {
        const Pairs *p = &sev->properties;
        uint64_t policy;
        int r = read_number(p, "policy", POLICY_SNP_DEFAULT, UINT64_MAX, &policy, reterr);

        if (r < 0)
                return r;
        if (!(policy & POLICY_SNP_ONE) || (policy & POLICY_SNP_RESERVED))
                return error_set(reterr, -EINVAL,
                                "KVM refuses this launch: 0x%llx is not an SNP policy (bit 17 must be set, bits from 26 on must not)",
                                (unsigned long long) policy);
        l->mode = coco_mode_from_object(sev->type, policy);
        return check_blobs(p, l, reterr);
}

static int read_sev(const QemuObject *sev, ForeignLaunch *l, char **reterr) {
        const Pairs *p = &sev->properties;
        const char *legacy = pairs_get(p, "legacy-vm-type") ?: "auto";
        uint64_t policy;
        int r = read_number(p, "policy", 1, UINT32_MAX, &policy, reterr);

        if (r < 0)
                return r;
        if (!streq(legacy, "on") && !streq(legacy, "off") && !streq(legacy, "auto"))
                return error_set(reterr, -EINVAL, REFUSES "legacy-vm-type=%s is neither on, off nor auto",
                                legacy);
        l->mode = coco_mode_from_object(sev->type, policy);
        /* "auto" is the legacy type where QEMU knows it. */
        l->legacy_vm_type = !streq(legacy, "off");
        return 0;
}

static int read_features(const Pairs *p, ForeignLaunch *l, char **reterr) {
        bool secure_tsc, debug_swap, snp = coco_of(l->mode)->guest_features;
        int r = read_bool(p, "secure-tsc", &secure_tsc, reterr);

        if (r >= 0)
                r = read_bool(p, "debug-swap", &debug_swap, reterr);
        if (r < 0)
                return r;
        if (secure_tsc && !snp)
                return error_set(reterr, -EINVAL, REFUSES "secure-tsc is for SEV-SNP only");
        if (debug_swap && !coco_of(l->mode)->encrypted_registers)
                return error_set(reterr, -EINVAL, REFUSES "debug-swap is for SEV-ES and SEV-SNP only");
        if (snp)
                l->features = FEATURE_SNP | (debug_swap ? FEATURE_DEBUG_SWAP : 0) |
                                (secure_tsc ? FEATURE_SECURE_TSC : 0);
        else if (debug_swap) {
                /* Only KVM_SEV_INIT2 takes features. */
                l->es_features = FEATURE_DEBUG_SWAP;
                l->legacy_vm_type = false;
        }
        return 0;
}

/* SEV needs KVM, and QEMU takes the first accelerator that works: TCG does. */
int foreign_check_accel(const QemuLine *line, const char *label, char **reterr) {
        const char *machine = pairs_get(&line->machine, "accel"), *accels = line->accels ?: machine, *kvm,
                   *tcg;

        if (line->accels && machine)
                return error_set(reterr, -EINVAL,
                                REFUSES "-accel is combined with -machine accel= or -enable-kvm");
        if (!accels && !endswith(line->program, "kvm"))
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "its accelerator is TCG, since the line has no -accel kvm (or -enable-kvm, "
                                "-machine accel=kvm)");
        if (!accels)
                return 0;
        kvm = strstr(accels, "kvm");
        tcg = strstr(accels, "tcg");
        if (!kvm || (tcg && tcg < kvm))
                return error_set(reterr, -EINVAL, REFUSES "the accelerator is %s, but %s needs kvm", accels,
                                label);
        return 0;
}

/* What the machine must not have. */
static int check_machine(const QemuLine *line, const ForeignLaunch *l, char **reterr) {
        const char *smm = pairs_get(&line->machine, "smm"),
                   *irqchip = line->irqchip ?: pairs_get(&line->machine, "kernel-irqchip");

        if (!coco_of(l->mode)->encrypted_registers)
                return 0;
        if (smm && qemu_boolean(smm) == 1)
                return error_set(reterr, -EINVAL,
                                REFUSES "smm=%s, but SEV-ES and SEV-SNP do not support SMM", smm);
        if (irqchip && qemu_boolean(irqchip) == 0)
                return error_set(reterr, -EINVAL,
                                REFUSES "kernel-irqchip=%s, but SEV-ES and SEV-SNP need it", irqchip);
        return 0;
}

int foreign_launch_sev(const QemuLine *line, const QemuObject *sev, ForeignLaunch *l, char **reterr) {
        static const char *const of_snp[] = { "host-data", "id-block", "id-auth", "author-key-enabled",
                "vcek-disabled", "guest-visible-workarounds", "secure-tsc", "tsc-frequency" };
        static const char *const of_sev[] = { "handle", "dh-cert-file", "session-file", "legacy-vm-type" };
        bool snp = streq(sev->type, "sev-snp-guest");
        const char *const *foreign = snp ? of_sev : of_snp;
        int r = 0;

        FOREACH_ARRAY(i, sev->properties.items, sev->properties.n_items) {
                r = effect_check_pair(&qemu_sev_properties, i, line->assumed, reterr);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < (snp ? ELEMENTSOF(of_sev) : ELEMENTSOF(of_snp)); k++)
                        if (streq(i->key, foreign[k]))
                                return error_set(reterr, -EINVAL, REFUSES "%s objects have no %s", sev->type,
                                                i->key);
        }
        r = check_bits(&sev->properties, snp, reterr);
        if (r >= 0)
                r = snp ? read_snp(sev, l, reterr) : read_sev(sev, l, reterr);
        if (r >= 0)
                r = read_features(&sev->properties, l, reterr);
        if (r >= 0)
                r = read_bool(&sev->properties, "kernel-hashes", &l->kernel_hashes, reterr);
        if (r >= 0)
                r = foreign_check_accel(line, "SEV", reterr);
        return r < 0 ? r : check_machine(line, l, reterr);
}
