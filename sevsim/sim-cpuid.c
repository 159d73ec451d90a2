/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What KVM_GET_SUPPORTED_CPUID says on the simulated machine: a processor that has what QEMU's EPYC models up to
 * Genoa want, so that none of them is cut down. The launch digest does not depend on it, only the contents of
 * the CPUID page do, which the digest leaves out (AMD 56860: CPUID pages are measured by type and address). */

#include "sim-machine.h"

#define B(n)      (1U << (n))
#define VENDOR    .ebx = 0x68747541, .edx = 0x69746e65, .ecx = 0x444d4163 /* AuthenticAMD */
#define INDEXED   .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define SIGNATURE 0x00a10f11U

static const struct kvm_cpuid_entry2 table[] = {
        { .function = 0x0, .eax = 0x10, VENDOR },
        { .function = 0x1, .eax = SIGNATURE, .ecx = 0xfffa3203, .edx = 0x178bfbff },
        { .function = 0x5, INDEXED },
        { .function = 0x6, .eax = B(2) },
        { .function = 0x7,
                        INDEXED,
                        .eax = 1,
                        .ebx = B(0) | B(1) | B(3) | B(5) | B(7) | B(8) | B(9) | B(10) | B(16) | B(17) |
                                        B(18) | B(19) | B(20) | B(21) | B(23) | B(24) | B(28) | B(29) |
                                        B(30) | B(31),
                        .ecx = B(1) | B(2) | B(3) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) |
                                        B(16) | B(22) | B(27) | B(28),
                        .edx = B(4) | B(8) | B(26) | B(27) | B(29) | B(31) },
        { .function = 0x7, .index = 1, INDEXED, .eax = B(4) | B(5) },
        { .function = 0xd, INDEXED, .eax = 0x2e7, .ebx = 0x988, .ecx = 0x988 },
        { .function = 0xd, .index = 1, INDEXED, .eax = 0xf, .ebx = 0x348 },
        { .function = 0xd, .index = 2, INDEXED, .eax = 0x100, .ebx = 0x240 },
        { .function = 0xd, .index = 5, INDEXED, .eax = 0x40, .ebx = 0x340 },
        { .function = 0xd, .index = 6, INDEXED, .eax = 0x200, .ebx = 0x380 },
        { .function = 0xd, .index = 7, INDEXED, .eax = 0x400, .ebx = 0x580 },
        { .function = 0xd, .index = 9, INDEXED, .eax = 0x8, .ebx = 0x980 },
        { .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d },
        { .function = 0x40000001,
                        .eax = B(0) | B(1) | B(3) | B(4) | B(5) | B(6) | B(7) | B(9) | B(10) | B(11) |
                                        B(12) | B(13) | B(14) | B(15) | B(24) },
        { .function = 0x80000000, .eax = 0x80000022, VENDOR },
        { .function = 0x80000001,
                        .eax = SIGNATURE,
                        .ecx = B(0) | B(1) | B(2) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(16) |
                                        B(21) | B(22) | B(23),
                        .edx = 0x2fd3fbff },
        { .function = 0x80000007, .edx = B(8) },
        { .function = 0x80000008,
                        .eax = 0x303934, /* guest physical bits 48: what a TD needs */
                        .ebx = B(0) | B(2) | B(9) | B(12) | B(14) | B(15) | B(16) | B(17) | B(24) | B(25) |
                                        B(28) },
        { .function = 0x8000000a, .eax = 1, .ebx = 8, .edx = B(0) | B(3) | B(10) | B(12) | B(28) },
        { .function = 0x80000021, .eax = B(0) | B(2) | B(6) | B(8) | B(20) | B(27) | B(28) },
        { .function = 0x80000022 },
};

size_t kvm_supported_cpuid(const struct kvm_cpuid_entry2 **ret) {
        *ret = table;
        return sizeof(table) / sizeof(table[0]);
}
