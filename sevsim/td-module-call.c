/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TDCALL, the guest's calls to the module: leaves and operands of Intel's "TDX Module ABI Specification" (348551), chapter "Guest-Side (TDCALL)
 * Interface Functions". */

#include <string.h>

#include "td-module.h"
#include "td-plugin-api.h"

enum {
        TDG_VP_VMCALL = 0,
        TDG_VP_INFO = 1,
        TDG_MR_RTMR_EXTEND = 2,
        TDG_VP_VEINFO_GET = 3,
        TDG_MR_REPORT = 4,
        TDG_VP_CPUIDVE_SET = 5,
        TDG_MEM_PAGE_ACCEPT = 6,
        TDG_VM_RD = 7,
        TDG_VM_WR = 8,
        TDG_SYS_RD = 11,
};

enum { TDCALL_SIZE = 4, LEAF_MASK = 0xffff };

#define TDX_OPERAND_INVALID UINT64_C(0xC000010000000000)
#define TDX_NO_VE_INFO      UINT64_C(0xC000070400000000)
/* The low half of the status names the operand. */
enum { OPERAND_RAX = 0, OPERAND_RCX = 1, OPERAND_RDX = 2 };

static uint64_t do_info(void) {
        td_set(TD_rcx, TD_GPAW);
        td_set(TD_rdx, td_module.identity.attributes);
        td_set(TD_r8, UINT64_C(1) << 32 | 1); /* vCPUs: possible, started */
        td_set(TD_r9, 0);                     /* this one's index */
        td_set(TD_r10, 0);
        td_set(TD_r11, 0);
        return 0;
}

static uint64_t do_extend(void) {
        uint8_t digest[TD_DIGEST_SIZE];
        uint64_t index = td_get(TD_rdx), place = td_get(TD_rcx);

        if (place % 64 != 0 || td_read(place, digest, sizeof(digest)) < 0)
                return TDX_OPERAND_INVALID | OPERAND_RCX;
        if (index >= TD_RTMRS || td_rtmr_extend((unsigned) index, digest) < 0)
                return TDX_OPERAND_INVALID | OPERAND_RDX;
        return 0;
}

static uint64_t do_report(void) {
        uint8_t data[TD_REPORT_DATA_SIZE], report[TD_REPORT_SIZE];
        uint64_t place = td_get(TD_rcx), from = td_get(TD_rdx);

        if (from % TD_REPORT_DATA_SIZE != 0 || td_read(from, data, sizeof(data)) < 0)
                return TDX_OPERAND_INVALID | OPERAND_RDX;
        if (td_report(data, report) < 0 || place % TD_REPORT_SIZE != 0 ||
                        td_write(place, report, sizeof(report)) < 0)
                return TDX_OPERAND_INVALID | OPERAND_RCX;
        return 0;
}

/* The fields of the TD that a guest may read are all zero here; what it writes has no effect, since there are no #VE. */
static uint64_t do_field(bool write) {
        if (!write)
                td_set(TD_r8, 0);
        return 0;
}

void td_call(uint64_t pc) {
        uint64_t leaf = td_get(TD_rax) & LEAF_MASK, status;

        switch (leaf) {
        case TDG_VP_VMCALL:
                td_vmcall(pc); /* comes back unless the vCPU has to execute something first */
                status = 0;
                break;
        case TDG_VP_INFO:
                status = do_info();
                break;
        case TDG_MR_RTMR_EXTEND:
                status = do_extend();
                break;
        case TDG_VP_VEINFO_GET:
                status = TDX_NO_VE_INFO;
                break;
        case TDG_MR_REPORT:
                status = do_report();
                break;
        case TDG_VP_CPUIDVE_SET:
        case TDG_MEM_PAGE_ACCEPT: /* memory is there and zero from the beginning */
                status = 0;
                break;
        case TDG_VM_RD:
        case TDG_VM_WR:
        case TDG_SYS_RD:
                status = do_field(leaf == TDG_VM_WR);
                break;
        default:
                td_record("\"event\": \"unknown-tdcall\", \"leaf\": %llu", (unsigned long long) leaf);
                status = TDX_OPERAND_INVALID | OPERAND_RAX;
        }
        td_set(TD_rax, status);
        qemu_plugin_set_pc(pc + TDCALL_SIZE);
}
