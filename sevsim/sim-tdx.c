/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's side of a TD launch: what tdx_vm_ioctl(), tdx_vcpu_unlocked_ioctl() and what they call in arch/x86/kvm/vmx/tdx.c of
 * Linux 6.16 check, in the order in which they check it. A page is added and extended before the next one. */

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim-host.h"
#include "sim-machine.h"
#include "sim-tdx-abi.h"

static const char *const names[] = {
        [TDX_CAPABILITIES] = "TDX_CAPABILITIES",
        [TDX_INIT_VM] = "TDX_INIT_VM",
        [TDX_INIT_VCPU] = "TDX_INIT_VCPU",
        [TDX_INIT_MEM_REGION] = "TDX_INIT_MEM_REGION",
        [TDX_FINALIZE_VM] = "TDX_FINALIZE_VM",
        [TDX_GET_CPUID] = "TDX_GET_CPUID",
};
static_assert(sizeof(names) / sizeof(names[0]) == _TDX_COMMAND_MAX, "every command has a name");

/* --- CPUID ----------------------------------------------------------------------------------------------------------- */

enum {
        LEAF_FEATURES = 0x7,
        LEAF_ADDRESS_SIZES = 0x80000008U,
        CPUID_ENTRIES_MAX = 256, /* KVM_MAX_CPUID_ENTRIES */
};

/* What a monitor may configure: here every bit that the simulated host supports, which is more than a real module allows. */
static size_t configurable(const struct kvm_cpuid_entry2 **ret) {
        static struct kvm_cpuid_entry2 list[CPUID_ENTRIES_MAX];
        static size_t n;
        const struct kvm_cpuid_entry2 *supported;

        if (n == 0) {
                n = kvm_supported_cpuid(&supported);
                memcpy(list, supported, n * sizeof(list[0]));
                for (size_t i = 0; i < n; i++)
                        if (list[i].function == LEAF_ADDRESS_SIZES)
                                list[i].eax |= 0x00ff0000U; /* tdx_init_kvm_tdx_caps(): guest physical bits */
        }
        *ret = list;
        return n;
}

static int write_cpuid(uint64_t to, const struct kvm_cpuid_entry2 *list, size_t n) {
        struct kvm_cpuid2 head;
        int r = user_read(&head, to, sizeof(head));
        bool fits;

        if (r < 0)
                return r;
        fits = head.nent >= n;
        head.nent = (uint32_t) n;
        r = user_write(to, &head, sizeof(head));
        if (r < 0 || !fits)
                return r < 0 ? r : -E2BIG;
        return user_write(to + sizeof(head), list, n * sizeof(list[0]));
}

static bool same_leaf(const struct kvm_cpuid_entry2 *a, const struct kvm_cpuid_entry2 *b) {
        return a->function == b->function && a->index == b->index;
}

/* A TDX host has 52 physical address bits. The simulated one has those of the machine it runs on, which can be fewer than 48. */
static uint32_t host_physical_bits(void) {
        uint32_t a = 0, b, c, d;

        return __get_cpuid(LEAF_ADDRESS_SIZES, &a, &b, &c, &d) ? a & 0xff : 0;
}

static int check_cpuid(SimVm *vm, const struct kvm_cpuid_entry2 *entries, size_t n) {
        const struct kvm_cpuid_entry2 *allowed, *sizes = NULL;
        size_t n_allowed = configurable(&allowed);
        uint32_t bits;

        for (size_t i = 0; i < n; i++)
                if (entries[i].function == LEAF_ADDRESS_SIZES)
                        sizes = entries + i;
        bits = sizes ? sizes->eax >> 16 & 0xff : 0;
        if (bits != 48 && bits != 52 && (bits < 32 || bits > 47 || bits != host_physical_bits()))
                return vm_refuse(vm, -EINVAL, "CPUID 0x80000008: guest physical bits are neither 48 nor 52");
        vm->tdx.shared_bit = 1ULL << (bits - 1);
        for (size_t i = 0; i < n; i++) {
                bool known = false;

                for (size_t k = 0; k < n_allowed; k++)
                        known = known || same_leaf(entries + i, allowed + k);
                for (size_t k = 0; k < i; k++)
                        known = known && !same_leaf(entries + i, entries + k);
                if (!known)
                        return vm_refuse(vm, -EINVAL, "CPUID: a leaf that cannot be configured, or twice");
        }
        return 0;
}

/* --- commands of the machine ------------------------------------------------------------------------------------------ */

static int capabilities(SimVm *vm, const SimTdxCmd *cmd) {
        SimTdxCapabilities caps = {
                .supported_attrs = SIM_TDX_ATTRIBUTES,
                .supported_xfam = SIM_TDX_XFAM,
                .user_tdvmcallinfo_1_r11 = 1U << 1,
        };
        const struct kvm_cpuid_entry2 *list;
        size_t n = configurable(&list);
        int r;

        if (cmd->flags != 0)
                return vm_refuse(vm, -EINVAL, "unknown flags");
        r = write_cpuid(cmd->data + sizeof(caps), list, n);
        return r < 0 ? r : user_write(cmd->data, &caps, sizeof(caps));
}

static bool all_zero(const uint64_t *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i] != 0)
                        return false;
        return true;
}

static void record_init(SimVm *vm, const SimTdxInitVm *init) {
        record_address(vm->record, "attributes", init->attributes);
        record_address(vm->record, "xfam", init->xfam);
        record_hex(vm->record, "mrconfigid", init->mrconfigid, sizeof(init->mrconfigid));
        record_hex(vm->record, "mrowner", init->mrowner, sizeof(init->mrowner));
        record_hex(vm->record, "mrownerconfig", init->mrownerconfig, sizeof(init->mrownerconfig));
}

static int init_vm(SimVm *vm, const SimTdxCmd *cmd) {
        struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
        SimTdxInitVm init;
        struct kvm_cpuid2 head;
        int r;

        record_string(vm->record, "vm_type", "TDX");
        if (vm->tdx.created || cmd->flags != 0)
                return vm_refuse(vm, -EINVAL, "the TD exists already, or unknown flags");
        r = user_read(&init, cmd->data, sizeof(init));
        if (r >= 0)
                r = user_read(&head, cmd->data + sizeof(init), sizeof(head));
        if (r < 0)
                return r;
        record_init(vm, &init);
        if (head.nent > CPUID_ENTRIES_MAX)
                return vm_refuse(vm, -E2BIG, "too many CPUID entries");
        r = user_read(entries, cmd->data + sizeof(init) + sizeof(head), head.nent * sizeof(entries[0]));
        if (r < 0)
                return r;
        if (!all_zero(init.reserved, 12) || head.padding != 0)
                return vm_refuse(vm, -EINVAL, "reserved members are not zero");
        if (vm->n_vcpus > 0)
                return vm_refuse(vm, -EBUSY, "vCPUs exist already");
        if (init.attributes & ~SIM_TDX_ATTRIBUTES)
                return vm_refuse(vm, -EINVAL, "attributes that this host does not support");
        if (init.xfam & ~SIM_TDX_XFAM)
                return vm_refuse(vm, -EINVAL, "extended features that this host does not support");
        r = check_cpuid(vm, entries, head.nent);
        if (r >= 0)
                r = host_seat_take(vm);
        if (r >= 0)
                r = tdx_measure_begin(&vm->tdx);
        if (r < 0)
                return r;
        vm->tdx.created = vm->sev_active = true;
        return 0;
}

static int finalize_vm(SimVm *vm) {
        int r;

        if (!vm->tdx.created || vm->tdx.finalized)
                return vm_refuse(vm, -EINVAL, "the TD does not exist, or is finalized already");
        r = tdx_measure_end(&vm->tdx);
        if (r < 0)
                return r;
        vm->tdx.finalized = true;
        vm->guest.state = GUEST_RUNNING;
        record_hex(vm->record, "digest", vm->tdx.digest, sizeof(vm->tdx.digest));
        record_file_hex(vm->record, "digest", vm->tdx.digest, sizeof(vm->tdx.digest));
        return 0;
}

static int begin_line(SimVm *vm, const SimTdxCmd *cmd) {
        int r = vm->record ? 0 : record_new(&vm->record);

        if (r >= 0)
                record_begin(vm->record, cmd->id < _TDX_COMMAND_MAX ? names[cmd->id] : "unknown");
        return r;
}

int tdx_vm_op(SimVm *vm, SimTdxCmd *cmd) {
        int r = begin_line(vm, cmd);

        if (r < 0)
                return r;
        if (cmd->hw_error != 0)
                return vm_refuse(vm, -EINVAL, "hw_error is not zero");
        switch (cmd->id) {
        case TDX_CAPABILITIES:
                return capabilities(vm, cmd);
        case TDX_INIT_VM:
                return init_vm(vm, cmd);
        case TDX_FINALIZE_VM:
                return finalize_vm(vm);
        default:
                return vm_refuse(vm, -EINVAL, "not a command of the machine");
        }
}

/* --- commands of a vCPU ----------------------------------------------------------------------------------------------- */

static int init_vcpu(SimVm *vm, SimVcpu *vcpu, const SimTdxCmd *cmd) {
        record_number(vm->record, "vcpu", vcpu->index);
        record_address(vm->record, "value", cmd->data);
        if (cmd->flags != 0 || vcpu->tdx_initialized)
                return vm_refuse(vm, -EINVAL, "unknown flags, or the vCPU is initialised already");
        vcpu->tdx_initialized = true;
        vm->tdx.hob = cmd->data;
        return 0;
}

static int check_region(SimVm *vm, const SimVcpu *vcpu, const SimTdxCmd *cmd, const SimTdxMemRegion *m) {
        uint64_t size = m->n_pages * SIM_PAGE_SIZE;

        if (!vcpu->tdx_initialized || vm->tdx.finalized)
                return vm_refuse(vm, -EINVAL, "the vCPU is not initialised, or the TD is finalized");
        if (cmd->flags & ~SIM_TDX_MEASURE)
                return vm_refuse(vm, -EINVAL, "unknown flags");
        if (m->source == 0 || m->source % SIM_PAGE_SIZE != 0 || m->gpa % SIM_PAGE_SIZE != 0)
                return vm_refuse(vm, -EINVAL, "source or guest address is not aligned to a page");
        if (m->n_pages == 0 || m->n_pages > UINT64_MAX / SIM_PAGE_SIZE || m->gpa + size <= m->gpa)
                return vm_refuse(vm, -EINVAL, "no pages, or the range wraps around");
        if (m->gpa & vm->tdx.shared_bit || (m->gpa + size - 1) & vm->tdx.shared_bit)
                return vm_refuse(vm, -EINVAL, "shared guest addresses");
        return 0;
}

/* kvm_gmem_populate(), TDH.MEM.PAGE.ADD, TDH.MR.EXTEND. The page itself goes into the record. */
static int add_page(SimVm *vm, uint64_t gpa, const uint8_t *page, bool measure) {
        uint64_t gfn = gpa / SIM_PAGE_SIZE;
        int r;

        if (!vm_gpa_is_guest_memfd(vm, gpa, SIM_PAGE_SIZE) ||
                        !ranges_contain(&vm->private_gfns, gfn, gfn + 1))
                return vm_refuse(vm, -EINVAL, "a guest page is not in guest_memfd, or was not made private");
        if (ranges_touch(&vm->assigned_gfns, gfn, gfn + 1))
                return vm_refuse(vm, -EIO, "a guest page is added twice");
        r = tdx_measure_add(&vm->tdx, gpa);
        for (size_t at = 0; r >= 0 && measure && at < SIM_PAGE_SIZE; at += 256)
                r = tdx_measure_extend(&vm->tdx, gpa + at, page + at);
        return r < 0 ? r : ranges_add(&vm->assigned_gfns, gfn, gfn + 1);
}

static int init_mem_region(SimVm *vm, const SimVcpu *vcpu, const SimTdxCmd *cmd) {
        SimTdxMemRegion m;
        uint8_t *bytes;
        size_t size;
        int r;

        r = user_read(&m, cmd->data, sizeof(m));
        if (r < 0)
                return r;
        record_address(vm->record, "gpa", m.gpa);
        record_bool(vm->record, "measured", cmd->flags & SIM_TDX_MEASURE);
        r = check_region(vm, vcpu, cmd, &m);
        if (r < 0)
                return r;
        size = (size_t) m.n_pages * SIM_PAGE_SIZE;
        bytes = malloc(size);
        if (!bytes)
                return -ENOMEM;
        r = user_read(bytes, m.source, size);
        if (r >= 0) {
                record_pages(vm->record, bytes, size);
                if (m.gpa == vm->tdx.hob)
                        record_file(vm->record, "td-hob.bin", bytes, size, 0644);
        }
        for (size_t at = 0; r >= 0 && at < size; at += SIM_PAGE_SIZE) {
                r = add_page(vm, m.gpa, bytes + at, cmd->flags & SIM_TDX_MEASURE);
                if (r < 0)
                        break;
                m.source += SIM_PAGE_SIZE;
                m.gpa += SIM_PAGE_SIZE;
                m.n_pages--;
        }
        free(bytes);
        /* Written back also on error: how far it came. */
        return user_write(cmd->data, &m, sizeof(m)) < 0 ? -EFAULT : r;
}

static int get_cpuid(SimVm *vm, const SimTdxCmd *cmd) {
        const struct kvm_cpuid_entry2 *list;
        size_t n = kvm_supported_cpuid(&list);

        return cmd->flags != 0 ? vm_refuse(vm, -EINVAL, "unknown flags") : write_cpuid(cmd->data, list, n);
}

int tdx_vcpu_op(SimVm *vm, SimVcpu *vcpu, SimTdxCmd *cmd) {
        int r = begin_line(vm, cmd);

        if (r < 0)
                return r;
        if (!vm->tdx.created || vm->tdx.finalized)
                return vm_refuse(vm, -EINVAL, "the TD does not exist, or is finalized already");
        if (cmd->hw_error != 0)
                return vm_refuse(vm, -EINVAL, "hw_error is not zero");
        switch (cmd->id) {
        case TDX_INIT_VCPU:
                return init_vcpu(vm, vcpu, cmd);
        case TDX_INIT_MEM_REGION:
                return init_mem_region(vm, vcpu, cmd);
        case TDX_GET_CPUID:
                return get_cpuid(vm, cmd);
        default:
                return vm_refuse(vm, -EINVAL, "not a command of a vCPU");
        }
}

int tdx_vcpu_may_be_created(SimVm *vm) {
        if (!vm->tdx.created)
                return vm_refuse(vm, -EIO, "a vCPU before the TD is initialised");
        if (!vm->tdx.split_irqchip)
                return vm_refuse(vm, -EINVAL, "the interrupt controller is not split");
        return 0;
}
