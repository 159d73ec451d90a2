/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* QEMU executes CPUID leaf 0x8000001f itself to learn the position of the C-bit, so no library call can answer
 * it, and few processors can make the instruction fault. What works everywhere: let the thread run in single
 * steps (EFLAGS.TF) through the short stretch where the instruction is known to come, right after a request that
 * this library answers, and do the instruction's work in the signal handler when it is next. QEMU's code is not
 * touched. */

#include <cpuid.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ucontext.h>

#include "sim-platform.h"

#define LEAF_ENCRYPTION 0x8000001fU
#define FLAG_TRAP       0x100LL

/* SEV, SEV-ES, SNP and their companions; C-bit 51, five physical address bits lost on the host; 509 address space
 * identifiers, of which those from 100 are for plain SEV. */
enum {
        ANSWER_EAX = 0x1 | 0x2 | 0x8 | 0x10 | 0x400,
        ANSWER_EBX = 51 | 5 << 6,
        ANSWER_ECX = 509,
        ANSWER_EDX = 100,
};

static __thread unsigned steps_left;
static bool answered;

static void on_step(int signal_number, siginfo_t *info, void *context) {
        greg_t *g = ((ucontext_t *) context)->uc_mcontext.gregs;
        const uint8_t *code = (const uint8_t *) (uintptr_t) g[REG_RIP];

        (void) signal_number;
        (void) info;

        if (steps_left > 0 && code[0] == 0x0f && code[1] == 0xa2 &&
                        (uint32_t) g[REG_RAX] == LEAF_ENCRYPTION) {
                g[REG_RAX] = ANSWER_EAX;
                g[REG_RBX] = ANSWER_EBX;
                g[REG_RCX] = ANSWER_ECX;
                g[REG_RDX] = ANSWER_EDX;
                g[REG_RIP] += 2;
                steps_left = 0;
                answered = true;
        }
        if (steps_left > 0)
                steps_left--;
        if (steps_left == 0)
                g[REG_EFL] &= ~FLAG_TRAP;
}

static bool processor_answers(void) {
        uint32_t a = 0, b = 0, c = 0, d = 0;

        return __get_cpuid_count(LEAF_ENCRYPTION, 0, &a, &b, &c, &d) && (b & 0x3f) == (ANSWER_EBX & 0x3f);
}

void cpuid_trap_arm(unsigned max_steps) {
        static bool installed, needless;

        if (needless)
                return;
        if (!installed) {
                struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_RESTART };

                /* Asked before any stepping: our own CPUID must not be what is answered. */
                needless = processor_answers();
                if (needless)
                        return;
                sigaction(SIGTRAP, &action, NULL);
                installed = true;
        }
        steps_left = max_steps;
        __asm__ volatile("subq $128, %%rsp\n\t" /* leave the red zone alone */
                         "pushfq\n"
                         "\torq %0, (%%rsp)\n"
                         "\tpopfq\n"
                         "\taddq $128, %%rsp"
                         :
                         : "i"(FLAG_TRAP)
                         : "cc", "memory");
}

void cpuid_trap_stop(void) {
        steps_left = 0;
}

void cpuid_trap_expect(bool expected) {
        answered = !expected;
}

bool cpuid_trap_answered(void) {
        return answered;
}
