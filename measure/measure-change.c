/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-change.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "sev-cpu.h"
#include "strutil.h"

/* SEV_FEATURES that occur: plain, DebugSwap (Linux 6.6 and 6.7), Secure TSC, restricted injection, vTOM and their combinations. */
static const uint64_t known_features[] = { 0x1, 0x21, 0x201, 0x221, 0x9, 0x29, 0x3, 0x5, 0x11, 0x0, 0x20,
        0x41, 0x81, 0x101, 0x401, 0x1001, 0x4001, 0x8001, 0x2b, 0x209, 0x229 };

/* Real processors whose signature is not that of a model: Milan B1, Milan-X, Genoa B1, Genoa-X, Bergamo, Siena, Turin. */
static const uint32_t real_signatures[] = { 0xa00f11, 0xa00f12, 0xa10f11, 0xa10f12, 0xaa0f01, 0xaa0f02,
        0xb00f20, 0xb00f21, 0xb10f10, 0x830f10, 0x800f12, 0 };

const uint64_t *change_known_features(size_t *ret_n) {
        *ret_n = ELEMENTSOF(known_features);
        return known_features;
}

const uint32_t *change_real_signatures(size_t *ret_n) {
        *ret_n = ELEMENTSOF(real_signatures);
        return real_signatures;
}

/* --- what is in the VMSAs -------------------------------------------------------------------------------------------- */

static int add_features(ChangeList *l, const LaunchSpec *base) {
        bool chosen = coco_of(base->mode)->guest_features;
        uint64_t from = base->features;

        FOREACH_ARRAY(f, known_features, ELEMENTSOF(known_features)) {
                int r;

                if (*f == from || (!chosen && (*f & 1)))
                        continue;
                r = change_list_add(l, (Change) { .dimension = CHANGE_FEATURES, .features = *f },
                                change_text("guest features 0x%" PRIx64 " instead of 0x%" PRIx64, *f, from),
                                change_text("--%s-features=0x%" PRIx64, chosen ? "guest" : "es", *f));
                if (r < 0)
                        return r;
        }
        return 0;
}

static char *signature_text(uint32_t signature) {
        const char *name = sev_cpu_name(signature);
        unsigned family, model, stepping;

        if (name)
                return change_text("0x%x (%s)", signature, name);
        sev_cpu_from_signature(signature, &family, &model, &stepping);
        return change_text("0x%x (family %u, model %u, stepping %u)", signature, family, model, stepping);
}

static int add_signature(ChangeList *l, const LaunchSpec *base, uint32_t signature) {
        _cleanup_free_ char *from = signature_text(base->signature), *to = signature_text(signature);

        if (signature == base->signature)
                return 0;
        FOREACH_ARRAY(c, l->items, l->n_items)
                if (c->dimension == CHANGE_SIGNATURE && c->signature == signature)
                        return 0;
        if (!from || !to)
                return -ENOMEM;
        return change_list_add(l, (Change) { .dimension = CHANGE_SIGNATURE, .signature = signature },
                        change_text("CPU signature %s instead of %s", to, from),
                        change_text("--vcpu-sig=0x%x", signature));
}

static int add_signatures(ChangeList *l, const LaunchSpec *base) {
        const SevCpu *cpus;
        uint32_t host;
        size_t n;
        int r = 0;

        if (!vmm_row(base->profile)->registers.rdx_is_signature)
                return 0;
        cpus = sev_cpu_table(&n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_signature(
                                l, base, sev_cpu_signature(cpus[i].family, cpus[i].model, cpus[i].stepping));
        FOREACH_ARRAY(s, real_signatures, ELEMENTSOF(real_signatures)) {
                if (r < 0)
                        return r;
                r = add_signature(l, base, *s);
        }
        return r >= 0 && sev_cpu_host(&host) >= 0 ? add_signature(l, base, host) : r;
}

static int add_profiles(ChangeList *l, const LaunchSpec *base) {
        bool svsm = vmm_row(base->profile)->svsm;

        for (VmmProfile f = 0; f < _VMM_PROFILE_MAX; f++) {
                int r;

                if (f == base->profile || svsm != vmm_row(f)->svsm)
                        continue;
                r = change_list_add(l, (Change) { .dimension = CHANGE_PROFILE, .profile = f },
                                change_text("VMM profile %s instead of %s", vmm_profile_to_string(f),
                                                vmm_profile_to_string(base->profile)),
                                change_text("--vmsa=%s", vmm_profile_to_string(f)));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What there is to try where no vCPU and no kernel enters the digest. */
static int add_page_order(ChangeList *l, const LaunchSpec *base) {
        bool two_pass = !base->two_pass;

        return change_list_add(l, (Change) { .dimension = CHANGE_PAGE_ORDER, .two_pass = two_pass },
                        change_text(two_pass ? "pages extended in a second pass, by a kernel with TDX patches from before Linux 6.16"
                                             : "each page extended when it is added, by Linux 6.16 or later"),
                        change_text("--page-order=%s", two_pass ? "two-pass" : "single-pass"));
}

int change_list_build(const MeasureContext *c, const LaunchSpec *base, ChangeList *ret, char **reterr) {
        _cleanup_(change_list_done) ChangeList l = {};
        bool svsm = c->request->mode == MEASURE_SVSM, vmsas = coco_of(base->mode)->vcpus_measured;
        int r = 0;

        if (vmsas)
                r = add_profiles(&l, base);
        if (r >= 0 && vmsas && !svsm)
                r = add_features(&l, base);
        if (r >= 0 && vmsas)
                r = add_signatures(&l, base);
        if (launch_is_whole(base->mode))
                r = add_page_order(&l, base);
        else if (r >= 0 && !svsm)
                r = change_list_add_boot(&l, c, base, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (ChangeList) {});
        return 0;
}

int change_list_add_firmware(ChangeList *l, const char *path, const FirmwareImage *firmware) {
        return change_list_add(l, (Change) { .dimension = CHANGE_FIRMWARE, .firmware = firmware },
                        change_text("firmware %s", path), change_text("--ovmf=%s", path));
}

void change_apply(const Change *change, LaunchSpec *spec, const FirmwareImage **firmware) {
        switch (change->dimension) {
        case CHANGE_FIRMWARE:
                *firmware = change->firmware;
                break;
        case CHANGE_HASHES:
                spec->kernel_hashes = change->kernel_hashes;
                break;
        case CHANGE_CMDLINE:
                memcpy(spec->hashes.cmdline, change->sha256, SHA256_SIZE);
                break;
        case CHANGE_INITRD:
                memcpy(spec->hashes.initrd, change->sha256, SHA256_SIZE);
                break;
        case CHANGE_PROFILE:
                spec->profile = change->profile;
                break;
        case CHANGE_FEATURES:
                spec->features = change->features;
                break;
        case CHANGE_SIGNATURE:
                spec->signature = change->signature;
                break;
        case CHANGE_PAGE_ORDER:
                spec->two_pass = change->two_pass;
                break;
        case CHANGE_VCPUS:
                spec->vcpus = change->vcpus;
                break;
        default:
                break;
        }
}
