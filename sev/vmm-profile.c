/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmm-profile.h"

#include "macro.h"
#include "strutil.h"

#define REAL_DATA                                                                                           \
        { .attributes = 0x93, .limit = 0xffff }
#define REAL_CODE                                                                                           \
        { .selector = 0xf000, .attributes = 0x9b, .limit = 0xffff }
/* The accessed bit is clear. */
#define REAL_CODE_FRESH                                                                                     \
        { .selector = 0xf000, .attributes = 0x9a, .limit = 0xffff }
#define REAL_STACK_FRESH                                                                                    \
        { .attributes = 0x92, .limit = 0xffff }
#define FLAT_CODE                                                                                           \
        { .selector = 8, .attributes = 0xc9b, .limit = 0xffffffff }
#define FLAT_DATA                                                                                           \
        { .selector = 0x10, .attributes = 0xc93, .limit = 0xffffffff }

#define PAT_RESET UINT64_C(0x0007040600070406) /* APM volume 2, 7.8.2 */
#define PAT_GCE   UINT64_C(0x00070106)

#define QEMU_REGISTERS                                                                                      \
        .cs_boot = REAL_CODE, .cs_application = REAL_CODE, .ss = REAL_DATA, .data = REAL_DATA,              \
        .tr_attributes = 0x8b, .cr0 = 0x10, .g_pat = PAT_RESET, .rdx_is_signature = true
#define EC2_REGISTERS                                                                                       \
        .cs_boot = REAL_CODE_FRESH, .cs_application = REAL_CODE, .ss = REAL_STACK_FRESH, .data = REAL_DATA, \
        .tr_attributes = 0x83, .cr0 = 0x10, .g_pat = PAT_RESET
#define SVSM_REGISTERS                                                                                      \
        .cs_boot = FLAT_CODE, .cs_application = FLAT_CODE, .ss = FLAT_DATA, .data = FLAT_DATA,              \
        .tr_attributes = 0x8b, .cr0 = 0x11, .g_pat = PAT_RESET, .rdx_is_signature = true, .flat = true

static const VmmRow rows[] = {
        [VMM_QEMU] = {
                .sec_mem = SNP_PAGE_ZERO,
                .registers = { QEMU_REGISTERS, .mxcsr = 0x1f80, .fcw = 0x37f },
        },
        [VMM_QEMU_PRE_6_10] = {
                .sec_mem = SNP_PAGE_ZERO,
                .registers = { QEMU_REGISTERS },
        },
        [VMM_EC2] = {
                .sec_mem = SNP_PAGE_ZERO,
                .cpuid_last = true,
                .registers = { EC2_REGISTERS, .rdx = 0x600 },
        },
        [VMM_EC2_2023] = {
                .sec_mem = SNP_PAGE_ZERO,
                .cpuid_last = true,
                .registers = { EC2_REGISTERS },
        },
        [VMM_GCE] = {
                .sec_mem = SNP_PAGE_UNMEASURED,
                .registers = {
                        .cs_boot = REAL_CODE,
                        .cs_application = REAL_CODE,
                        .ss = REAL_DATA,
                        .data = REAL_DATA,
                        .tr_attributes = 0x8b,
                        .cr0 = 0x10,
                        .g_pat = PAT_GCE,
                        .rdx = 0x600,
                },
        },
        [VMM_KRUN] = {
                .sec_mem = SNP_PAGE_ZERO,
                .registers = {
                        .cs_boot = REAL_CODE_FRESH,
                        .cs_application = REAL_CODE_FRESH,
                        .ss = REAL_STACK_FRESH,
                        .data = REAL_DATA,
                        .tr_attributes = 0x83,
                        .cr0 = 0x10,
                        .g_pat = PAT_RESET,
                },
        },
        /* FCW is zero although MXCSR is set: sev-snp-measure computes it so, and its digests were seen on hardware. */
        [VMM_SVSM] = {
                .svsm = true,
                .sec_mem = SNP_PAGE_ZERO,
                .registers = { SVSM_REGISTERS, .mxcsr = 0x1f80 },
        },
        [VMM_SVSM_PRE_6_10] = {
                .svsm = true,
                .sec_mem = SNP_PAGE_ZERO,
                .registers = { SVSM_REGISTERS },
        },
};
static_assert(ELEMENTSOF(rows) == _VMM_PROFILE_MAX, "every profile has a row");

#define NAMES(id, name, type) { name, type },
static const struct { const char *name, *type; } names[] = { VMM_PROFILES(NAMES) };

const VmmRow *vmm_row(VmmProfile p) {
        assert(p >= 0 && p < _VMM_PROFILE_MAX);
        return rows + p;
}

const char *vmm_profile_to_string(VmmProfile p) {
        return p >= 0 && p < _VMM_PROFILE_MAX ? names[p].name : NULL;
}

VmmProfile vmm_profile_from_string(const char *s) {
        for (int i = 0; i < _VMM_PROFILE_MAX; i++)
                if (streq(s, names[i].name))
                        return (VmmProfile) i;
        return streq(s, "krun-rust") ? VMM_KRUN : _VMM_PROFILE_INVALID;
}

VmmProfile vmm_profile_from_type(const char *s) {
        for (int i = 0; i < _VMM_PROFILE_MAX; i++)
                if (names[i].type[0] && (streq(s, names[i].type) || streq(s, names[i].name)))
                        return (VmmProfile) i;
        return _VMM_PROFILE_INVALID;
}

bool vmm_sections_are_common(const VmmRow *v) {
        return v->sec_mem == rows[VMM_QEMU].sec_mem && v->cpuid_last == rows[VMM_QEMU].cpuid_last;
}
