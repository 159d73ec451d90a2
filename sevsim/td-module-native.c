/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: what the host does for a TD (ports, model specific registers) TCG does if the vCPU executes the ordinary instruction, and a
 * plug-in has no other way to a port. So the four bytes of the TDCALL are replaced by that instruction and a NOP, the vCPU goes on there with
 * interrupts off, and at the NOP the bytes and the registers are put back. */

#include <stdlib.h>
#include <string.h>

#include "td-module.h"
#include "td-plugin-api.h"

enum { TDCALL_SIZE = 4, EFLAGS_IF = 1 << 9 };

static const uint8_t TDCALL[TDCALL_SIZE] = { 0x66, 0x0f, 0x01, 0xcc };
/* NOPs of one, two and three bytes, of the instruction set's manual */
static const uint8_t NOPS[][3] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
static const TdRegister KEPT[] = { TD_rax, TD_rbx, TD_rcx, TD_rdx, TD_eflags };
enum { N_KEPT = sizeof(KEPT) / sizeof(KEPT[0]) };

static struct {
        TdNative what;
        uint64_t pc; /* of the TDCALL; 0: nothing is under way */
        uint64_t kept[N_KEPT];
} native;

void td_native_run(uint64_t pc, const TdNative *what) {
        uint8_t bytes[TDCALL_SIZE];

        memcpy(bytes, what->code, what->size);
        memcpy(bytes + what->size, NOPS[TDCALL_SIZE - what->size - 1], (size_t) TDCALL_SIZE - what->size);
        native.what = *what;
        native.pc = pc;
        if (td_write_virtual(pc, bytes, sizeof(bytes)) < 0) {
                fputs("td-module (simulation): the guest's code cannot be written\n", stderr);
                exit(EXIT_FAILURE);
        }
        for (unsigned i = 0; i < N_KEPT; i++)
                native.kept[i] = td_get(KEPT[i]);
        td_set(TD_rax, what->rax);
        td_set(TD_rcx, what->rcx);
        td_set(TD_rdx, what->rdx);
        td_set(TD_eflags, native.kept[N_KEPT - 1] & ~(uint64_t) EFLAGS_IF);
        qemu_plugin_set_pc(pc);
}

/* Code is translated for any address at which its page is mapped: only the place in the page is known then. */
bool td_native_resumes(uint64_t vaddr) {
        return native.pc != 0 && ((native.pc + native.what.size) ^ vaddr) % TD_PAGE_SIZE == 0;
}

void td_native_resume(unsigned vcpu, void *userdata) {
        uint64_t pc = native.pc;
        TdNative done = native.what;

        (void) vcpu;
        (void) userdata;
        if (pc == 0)
                return;
        native.pc = 0;
        done.rax = td_get(TD_rax);
        done.rbx = td_get(TD_rbx);
        done.rcx = td_get(TD_rcx);
        done.rdx = td_get(TD_rdx);
        td_write_virtual(pc, TDCALL, sizeof(TDCALL));
        for (unsigned i = 0; i < N_KEPT; i++)
                td_set(KEPT[i], native.kept[i]);
        done.finish(&done);
        qemu_plugin_set_pc(pc + TDCALL_SIZE);
}
