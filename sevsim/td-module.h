/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The simulated TDX module: one TD with one vCPU under TCG. Nothing is encrypted, and nothing of it proves anything. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
        TD_DIGEST_SIZE = 48,
        TD_RTMRS = 4,
        TD_REPORT_SIZE = 1024,
        TD_REPORT_DATA_SIZE = 64,
        TD_PAGE_SIZE = 4096
};

/* Guest physical addresses have 53 bits, so that the bit for shared memory is one that the page tables of x86 leave to software: TCG
 * ignores it, and both views of a page are the same memory. Real modules have 48 or 52. */
enum { TD_GPAW = 53 };
#define TD_SHARED_BIT (UINT64_C(1) << (TD_GPAW - 1))

typedef struct TdIdentity {
        uint64_t attributes;
        uint64_t xfam;
        uint8_t mrtd[TD_DIGEST_SIZE];
        uint8_t mrconfigid[TD_DIGEST_SIZE];
        uint8_t mrowner[TD_DIGEST_SIZE];
        uint8_t mrownerconfig[TD_DIGEST_SIZE];
} TdIdentity;

typedef struct TdModule {
        TdIdentity identity;
        uint8_t rtmr[TD_RTMRS][TD_DIGEST_SIZE];
        uint64_t hob;             /* what the vCPU finds in RCX and R8 */
        const char *quote_socket; /* borrowed: an argument of the plug-in */
        FILE *record;             /* owned: one JSON object per line, or NULL */
        bool entered;
} TdModule;

extern TdModule td_module;

/* td-module-cpu.c: the running vCPU's registers and the guest's memory. Registers are known by GDB's names, in the order of this list. */
#define TD_REGISTERS(X)                                                                                     \
        X(rax)                                                                                              \
        X(rbx)                                                                                              \
        X(rcx) X(rdx) X(rsi) X(rdi) X(r8) X(r9) X(r10) X(r11) X(r12) X(r13) X(r14) X(r15) X(rip) X(eflags)  \
                        X(cs) X(ss) X(ds) X(es) X(fs) X(gs) X(cr0) X(cr4) X(efer)

typedef enum TdRegister {
#define TD_REGISTER_ENUM(name) TD_##name,
        TD_REGISTERS(TD_REGISTER_ENUM)
#undef TD_REGISTER_ENUM
                        _TD_REGISTER_MAX,
} TdRegister;

int td_cpu_init(void);
uint64_t td_get(TdRegister which);
void td_set(TdRegister which, uint64_t value);
int td_read(uint64_t gpa, void *data, size_t size);
int td_write(uint64_t gpa, const void *data, size_t size);
int td_read_virtual(uint64_t address, void *data, size_t size);
int td_write_virtual(uint64_t address, const void *data, size_t size);

/* td-module-native.c: an instruction that the host would execute for the guest, executed in place of the TDCALL. */
typedef struct TdNative {
        uint8_t code[3];
        uint8_t size;
        uint64_t rax, rbx, rcx, rdx; /* before; after, as the instruction left them */
        void (*finish)(const struct TdNative *
                                        done); /* the guest's registers are back: sets what the guest gets */
} TdNative;

void td_native_run(uint64_t pc, const TdNative *what) __attribute__((__noreturn__));
bool td_native_resumes(uint64_t vaddr);
void td_native_resume(unsigned vcpu, void *userdata);

/* td-module-call.c, td-module-vmcall.c: TDCALL at PC, with the vCPU's registers as the guest left them. */
void td_call(uint64_t pc) __attribute__((__noreturn__));
void td_vmcall(uint64_t pc);

/* td-module-report.c */
int td_rtmr_extend(unsigned index, const uint8_t digest[static TD_DIGEST_SIZE]);
int td_report(const uint8_t data[static TD_REPORT_DATA_SIZE], uint8_t ret_report[static TD_REPORT_SIZE]);
int td_parse_hex(const char *text, uint8_t *ret, size_t size);

/* td-module-quote.c: what QEMU does for TDG.VP.VMCALL<GetQuote>, with the same quote service. Returns the status for R10. */
uint64_t td_get_quote(uint64_t gpa, uint64_t size);

/* One line in the record: printf's arguments are the members of a JSON object. */
void td_record(const char *format, ...) __attribute__((format(printf, 1, 2)));
void td_record_bytes(const char *what, unsigned index, const uint8_t *data, size_t size);
