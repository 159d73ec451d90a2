/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a CPU of a running machine is, and what code lies there: how a boot that the firmware refused is told from a slow one.
 *
 * Theory of operation. OVMF ends a refused measured boot in CpuDeadLoop(): for ever `pause; jmp back`, with an empty
 * console (edk2 MdePkg/Library/BaseLib/CpuDeadLoop.c, MdePkg BaseCpuLib: pause is F3 90, a short jump EB rel8). A large
 * initrd that is being hashed is just as silent, but in another loop. So the CPU's instruction pointer and the code around
 * it are sampled through the human monitor ("info registers", "x /NNxb ADDR"), and most samples of a row must agree. This
 * only works where the host can read the registers: not for a real SEV-ES or SNP guest.
 *
 * The monitor's text is for people and no stable interface; it is parsed strictly, and a text that does not fit is an
 * error (-EBADMSG), never a guess. Captured from QEMU 10.0.2. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "qmp-client.h"

#define QMP_CODE_BEFORE     32u /* bytes read in front of the instruction pointer */
#define QMP_CODE_SIZE       64u
#define QMP_DEADLOOP_NEAR   16u /* how far from the pause the instruction pointer may be */
#define QMP_DEADLOOP_WINDOW 10u /* samples of a row, ... */
#define QMP_DEADLOOP_HITS   8u  /* ... and how many of them must be in a dead loop */

typedef enum QmpCpuMode {
        QMP_CPU_16_OR_32, /* QEMU shows EIP: real, protected and compatibility mode */
        QMP_CPU_64,       /* RIP */
        _QMP_CPU_MODE_MAX,
        _QMP_CPU_MODE_INVALID = -EINVAL,
} QmpCpuMode;

typedef struct QmpRip {
        QmpCpuMode mode;
        uint64_t ip;     /* RIP, or EIP */
        uint64_t linear; /* with the base of CS added: the address that "x" takes */
        bool halted;     /* waits in HLT */
} QmpRip;

typedef struct QmpCode {
        QmpRip rip;
        uint64_t base; /* address of bytes[0] */
        size_t size;   /* 0: the memory there cannot be read */
        uint8_t bytes[QMP_CODE_SIZE];
} QmpCode;

/* The answer of "info registers": -ENODATA where the machine has no CPU. */
_warn_unused_result_ int qmp_rip_parse(const char *text, QmpRip *ret);
/* The answer of "x /NNxb ADDR" for n bytes at `base`, n a multiple of 8; *ret_n is less where the guest can read less. */
_warn_unused_result_ int qmp_code_parse(
                const char *text, uint64_t base, uint8_t *buf, size_t n, size_t *ret_n);

/* True if `linear` is within a `pause; jmp back` loop whose pause is near. */
bool deadloop_bytes(uint64_t linear, uint64_t base, const uint8_t *bytes, size_t n);

/* True if the CPU is in a kernel's delay loop, as Linux is for ever once it has panicked (kernel/panic.c, panic(): mdelay();
 * arch/x86/lib/delay.c: pause, rdtsc, rdtscp or mwaitx in a tight loop): not halted, at an address of a kernel, near one of these. */
bool qmp_in_delay_loop(const QmpCode *code);

/* The last samples of a row. Zero-initialised is empty. */
typedef struct QmpDeadloop {
        bool hits[QMP_DEADLOOP_WINDOW];
        unsigned n; /* samples taken */
} QmpDeadloop;

void qmp_deadloop_add_hit(QmpDeadloop *d, bool hit);
void qmp_deadloop_add(QmpDeadloop *d, const QmpCode *code);
/* True once a full window has enough hits. */
bool qmp_deadloop_reached(const QmpDeadloop *d);

/* error: as in QmpReply, or -EBADMSG (text not understood), -ENODATA (no CPU); code is NULL then. */
typedef int (*QmpCodeReply)(QmpClient *c, int error, const QmpCode *code, void *userdata);
/* Reads one CPU's instruction pointer and the code around it, in two steps. */
_warn_unused_result_ int qmp_read_rip(QmpClient *c, unsigned cpu_index, QmpCodeReply reply, void *userdata);
