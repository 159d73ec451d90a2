/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory slots and attributes, refused where kvm_set_memory_region() and kvm_vm_set_mem_attributes() of Linux
 * 6.16 refuse them. */

#include <errno.h>
#include <stdlib.h>

#include "sim-fault.h"
#include "sim-machine.h"

static SimVm *vms[SIM_VMS_MAX];
static SimVm *newest; /* weak; machines stay until the process ends */

int vm_refuse(SimVm *vm, int error, const char *reason) {
        vm->refusal = reason;
        return error;
}

int vm_create(VmType type, SimVm **ret) {
        if (type > VM_TYPE_TDX || !(fault_vm_types(VM_TYPES_MASK) & 1U << type))
                return -EINVAL;
        for (unsigned i = 0; i < SIM_VMS_MAX; i++)
                if (!vms[i]) {
                        vms[i] = calloc(1, sizeof(SimVm));
                        if (!vms[i])
                                return -ENOMEM;
                        vms[i]->index = i;
                        vms[i]->type = type;
                        *ret = newest = vms[i];
                        return 0;
                }
        return -EBUSY; /* like a host that has no address space identifiers left */
}

SimVm *vm_by_index(unsigned index) {
        return index < SIM_VMS_MAX ? vms[index] : NULL;
}

SimVm *vm_newest(void) {
        return newest;
}

bool vm_has_private_memory(const SimVm *vm) {
        return vm->type == VM_TYPE_SNP || vm->type == VM_TYPE_TDX;
}

bool vm_has_protected_state(const SimVm *vm) {
        return vm->type == VM_TYPE_SEV_ES || vm->type == VM_TYPE_SNP || vm->type == VM_TYPE_TDX;
}

static SimSlot *vm_slot(SimVm *vm, uint32_t number) {
        uint32_t id = number & 0xffff, space = number >> 16;
        size_t wanted;

        if (id >= SIM_SLOTS_MAX || space > 1)
                return NULL;
        wanted = (size_t) id * 2 + space;
        if (wanted >= vm->n_slots) {
                size_t n = wanted + 64;
                SimSlot *slots = calloc(n, sizeof(SimSlot));
                if (!slots)
                        return NULL;
                for (size_t i = 0; i < vm->n_slots; i++)
                        slots[i] = vm->slots[i];
                free(vm->slots);
                vm->slots = slots;
                vm->n_slots = n;
        }
        return vm->slots + wanted;
}

static bool slot_overlaps(const SimVm *vm, const SimSlot *self, uint64_t gpa, uint64_t size) {
        for (size_t i = (size_t) (self - vm->slots) & 1; i < vm->n_slots; i += 2) {
                const SimSlot *s = vm->slots + i;
                if (s != self && s->used && s->gpa < gpa + size && gpa < s->gpa + s->size)
                        return true;
        }
        return false;
}

int vm_memory_region(SimVm *vm, const SimMemoryRegion2 *region) {
        bool memfd = region->flags & SIM_MEM_GUEST_MEMFD;
        uint32_t valid = memfd ? SIM_MEM_GUEST_MEMFD : KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;
        SimSlot *slot = vm_slot(vm, region->slot);

        if (!slot)
                return vm_refuse(vm, -EINVAL, "memory slot number out of range");
        if (memfd && !vm_has_private_memory(vm))
                return vm_refuse(vm, -EINVAL, "guest_memfd on a machine without private memory");
        if (region->flags & ~valid)
                return vm_refuse(vm, -EINVAL, "memory slot flags: guest_memfd memory cannot be read-only");
        if (region->memory_size % SIM_PAGE_SIZE != 0 || region->guest_phys_addr % SIM_PAGE_SIZE != 0 ||
                        region->userspace_addr % SIM_PAGE_SIZE != 0 ||
                        region->guest_memfd_offset % SIM_PAGE_SIZE != 0)
                return vm_refuse(vm, -EINVAL, "memory slot not aligned to pages");
        if (region->guest_phys_addr + region->memory_size < region->guest_phys_addr)
                return vm_refuse(vm, -EINVAL, "memory slot wraps around");

        if (region->memory_size == 0) {
                if (!slot->used)
                        return vm_refuse(vm, -EINVAL, "memory slot to delete does not exist");
                *slot = (SimSlot) {};
                return 0;
        }
        if (slot->used && (memfd || slot->flags & SIM_MEM_GUEST_MEMFD))
                return vm_refuse(vm, -EINVAL, "a slot with guest_memfd cannot be changed, only deleted");
        if (slot_overlaps(vm, slot, region->guest_phys_addr, region->memory_size))
                return vm_refuse(vm, -EEXIST, "memory slots overlap");

        *slot = (SimSlot) {
                .used = true,
                .flags = region->flags,
                .gpa = region->guest_phys_addr,
                .size = region->memory_size,
                .uaddr = region->userspace_addr,
        };
        return 0;
}

bool vm_gpa_is_guest_memfd(SimVm *vm, uint64_t gpa, uint64_t size) {
        for (size_t i = 0; i < vm->n_slots; i++) {
                const SimSlot *s = vm->slots + i;
                if (s->used && s->flags & SIM_MEM_GUEST_MEMFD && s->gpa <= gpa && gpa - s->gpa < s->size &&
                                size <= s->size - (gpa - s->gpa))
                        return true;
        }
        return false;
}

int vm_memory_attributes(SimVm *vm, const SimMemoryAttributes *a) {
        uint64_t begin = a->address / SIM_PAGE_SIZE, end = (a->address + a->size) / SIM_PAGE_SIZE;

        if (!vm_has_private_memory(vm) || a->attributes & ~SIM_MEMORY_ATTRIBUTE_PRIVATE || a->flags != 0)
                return vm_refuse(vm, -EINVAL, "memory attributes that this machine does not support");
        if (a->size == 0 || a->address + a->size < a->address || a->address % SIM_PAGE_SIZE != 0 ||
                        a->size % SIM_PAGE_SIZE != 0)
                return vm_refuse(vm, -EINVAL, "memory attributes not aligned to pages");

        return a->attributes ? ranges_add(&vm->private_gfns, begin, end)
                             : ranges_remove(&vm->private_gfns, begin, end);
}
