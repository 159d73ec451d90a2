/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TDG.VP.VMCALL, the guest's calls to its host: subfunctions and operands of Intel's "Guest-Hypervisor Communication Interface" (344426). */

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim-bytes.h"
#include "td-module.h"

enum {
        VMCALL_CPUID = 10,
        VMCALL_HLT = 12,
        VMCALL_IO = 30,
        VMCALL_RDMSR = 31,
        VMCALL_WRMSR = 32,
        VMCALL_MMIO = 48,
        VMCALL_WBINVD = 54,
        VMCALL_GET_INFO = 0x10000,
        VMCALL_MAP_GPA = 0x10001,
        VMCALL_GET_QUOTE = 0x10002,
        VMCALL_FATAL_ERROR = 0x10003,
        VMCALL_SETUP_NOTIFY = 0x10004,
};

#define STATUS_INVALID_OPERAND UINT64_C(0x8000000000000000)
#define STATUS_UNSUPPORTED     UINT64_C(0x8000000000000003)

/* The module cannot wait for an interrupt, which an idle guest does all the time: it takes a nap instead. */
enum { NAP_NS = 500 * 1000 };

static void done_in(const TdNative *done) {
        static const uint64_t MASKS[] = { [1] = 0xff, [2] = 0xffff, [4] = 0xffffffff };

        td_set(TD_r11, done->rax & MASKS[td_get(TD_r12)]);
        td_set(TD_r10, 0);
        td_set(TD_rax, 0);
}

static void done_out(const TdNative *done) {
        (void) done;
        td_set(TD_r10, 0);
        td_set(TD_rax, 0);
}

static void done_rdmsr(const TdNative *done) {
        td_set(TD_r11, done->rdx << 32 | (uint32_t) done->rax);
        td_set(TD_r10, 0);
        td_set(TD_rax, 0);
}

static void done_cpuid(const TdNative *done) {
        td_set(TD_r12, (uint32_t) done->rax);
        td_set(TD_r13, (uint32_t) done->rbx);
        td_set(TD_r14, (uint32_t) done->rcx);
        td_set(TD_r15, (uint32_t) done->rdx);
        td_set(TD_r10, 0);
        td_set(TD_rax, 0);
}

static uint64_t do_io(uint64_t pc) {
        uint64_t size = td_get(TD_r12), write = td_get(TD_r13);
        TdNative what = { .rdx = td_get(TD_r14),
                .rax = write ? td_get(TD_r15) : 0,
                .finish = write ? done_out : done_in };
        uint8_t opcode = (uint8_t) ((write ? 0xee : 0xec) | (size != 1));

        if ((size != 1 && size != 2 && size != 4) || write > 1 || what.rdx > UINT16_MAX)
                return STATUS_INVALID_OPERAND;
        if (size == 2) {
                what.code[what.size++] = 0x66;
        }
        what.code[what.size++] = opcode;
        td_native_run(pc, &what);
}

__attribute__((__noreturn__)) static void run_msr(uint64_t pc, bool write) {
        uint64_t value = write ? td_get(TD_r13) : 0;
        TdNative what = {
                .code = { 0x0f, write ? 0x30 : 0x32 },
                .size = 2,
                .rcx = td_get(TD_r12),
                .rax = (uint32_t) value,
                .rdx = value >> 32,
                .finish = write ? done_out : done_rdmsr,
        };

        td_native_run(pc, &what);
}

__attribute__((__noreturn__)) static void run_cpuid(uint64_t pc) {
        TdNative what = { .code = { 0x0f, 0xa2 },
                .size = 2,
                .rax = td_get(TD_r12),
                .rcx = td_get(TD_r13),
                .finish = done_cpuid };

        td_native_run(pc, &what);
}

static uint64_t do_mmio(void) {
        uint64_t size = td_get(TD_r12), write = td_get(TD_r13), place = td_get(TD_r14);
        uint8_t bytes[8] = {};

        if ((size != 1 && size != 2 && size != 4 && size != 8) || write > 1)
                return STATUS_INVALID_OPERAND;
        put_le64(bytes, write ? td_get(TD_r15) : 0);
        if ((write ? td_write(place, bytes, size) : td_read(place, bytes, size)) < 0)
                return STATUS_INVALID_OPERAND;
        if (!write)
                td_set(TD_r11, get_le64(bytes));
        return 0;
}

/* The guest says what has happened in the registers that RCX names, in this order. */
static uint64_t do_fatal_error(void) {
        static const struct {
                TdRegister from;
                unsigned bit;
        } TEXT[] = { { TD_r14, 14 }, { TD_r15, 15 }, { TD_rbx, 3 }, { TD_rdi, 7 }, { TD_rsi, 6 },
                { TD_r8, 8 }, { TD_r9, 9 }, { TD_rdx, 2 } };
        char text[sizeof(TEXT) / sizeof(TEXT[0]) * 8 + 1] = {};
        uint64_t given = td_get(TD_rcx);
        size_t n = 0;

        for (size_t i = 0; i < sizeof(TEXT) / sizeof(TEXT[0]); i++)
                if (given >> TEXT[i].bit & 1) {
                        put_le64((uint8_t *) text + n, td_get(TEXT[i].from));
                        n += 8;
                }
        for (char *p = text; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
        fprintf(stderr, "td-module (simulation): the guest reports a fatal error: code 0x%llx: %s\n",
                        (unsigned long long) td_get(TD_r12), text);
        td_record("\"event\": \"fatal-error\", \"code\": %llu", (unsigned long long) td_get(TD_r12));
        kill(getpid(), SIGTERM); /* QEMU's own way to end */
        return 0;
}

/* Comes back unless the vCPU has to execute something in place of the host. */
void td_vmcall(uint64_t pc) {
        uint64_t function = td_get(TD_r11), status = 0;

        switch (td_get(TD_r10) == 0 ? function : UINT64_MAX) {
        case VMCALL_IO:
                status = do_io(pc);
                break;
        case VMCALL_RDMSR:
        case VMCALL_WRMSR:
                run_msr(pc, function == VMCALL_WRMSR);
                break;
        case VMCALL_CPUID:
                run_cpuid(pc);
                break;
        case VMCALL_MMIO:
                status = do_mmio();
                break;
        case VMCALL_HLT:
                nanosleep(&(struct timespec) { .tv_nsec = NAP_NS }, NULL);
                break;
        case VMCALL_WBINVD:
        case VMCALL_MAP_GPA: /* private and shared memory are the same here */
        case VMCALL_SETUP_NOTIFY:
                break;
        case VMCALL_GET_INFO:
                for (TdRegister i = TD_r11; i <= TD_r14; i++)
                        td_set(i, 0);
                break;
        case VMCALL_GET_QUOTE:
                status = td_get_quote(td_get(TD_r12), td_get(TD_r13));
                break;
        case VMCALL_FATAL_ERROR:
                status = do_fatal_error();
                break;
        default:
                td_record("\"event\": \"unknown-vmcall\", \"function\": %llu",
                                (unsigned long long) function);
                status = STATUS_UNSUPPORTED;
        }
        td_set(TD_r10, status);
}
