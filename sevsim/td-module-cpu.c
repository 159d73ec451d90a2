/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "sim-bytes.h"
#include "td-module.h"
#include "td-plugin-api.h"

static const char *const NAMES[] = {
#define TD_REGISTER_NAME(name) [TD_##name] = #name,
        TD_REGISTERS(TD_REGISTER_NAME)
#undef TD_REGISTER_NAME
};

static struct qemu_plugin_register *handles[_TD_REGISTER_MAX];
static size_t sizes[_TD_REGISTER_MAX];
static GByteArray *buffer;

int td_cpu_init(void) {
        GArray *all = qemu_plugin_get_registers();
        const qemu_plugin_reg_descriptor *list =
                        (const qemu_plugin_reg_descriptor *) (const void *) all->data;

        buffer = g_byte_array_new();
        for (unsigned i = 0; i < all->len; i++)
                for (unsigned k = 0; k < _TD_REGISTER_MAX; k++)
                        if (!handles[k] && strcmp(list[i].name, NAMES[k]) == 0)
                                handles[k] = list[i].handle;
        g_array_free(all, 1);
        for (unsigned k = 0; k < _TD_REGISTER_MAX; k++) {
                g_byte_array_set_size(buffer, 0);
                if (!handles[k] || !qemu_plugin_read_register(handles[k], buffer) || buffer->len > 8)
                        return -ENOTSUP;
                sizes[k] = buffer->len;
        }
        return 0;
}

uint64_t td_get(TdRegister which) {
        uint8_t bytes[8] = {};

        g_byte_array_set_size(buffer, 0);
        if (qemu_plugin_read_register(handles[which], buffer) && buffer->len <= sizeof(bytes))
                memcpy(bytes, buffer->data, buffer->len);
        return get_le64(bytes);
}

void td_set(TdRegister which, uint64_t value) {
        uint8_t bytes[8];

        put_le64(bytes, value);
        g_byte_array_set_size(buffer, 0);
        g_byte_array_append(buffer, bytes, sizeof(bytes));
        qemu_plugin_write_register(handles[which], buffer);
}

static int fetch(bool ok, void *data, size_t size) {
        if (!ok || buffer->len < size)
                return -EFAULT;
        memcpy(data, buffer->data, size);
        return 0;
}

static void store(const void *data, size_t size) {
        g_byte_array_set_size(buffer, 0);
        g_byte_array_append(buffer, data, (unsigned) size);
}

int td_read(uint64_t gpa, void *data, size_t size) {
        return fetch(qemu_plugin_read_memory_hwaddr(gpa & ~TD_SHARED_BIT, buffer, size) == 0, data, size);
}

int td_write(uint64_t gpa, const void *data, size_t size) {
        store(data, size);
        return qemu_plugin_write_memory_hwaddr(gpa & ~TD_SHARED_BIT, buffer) == 0 ? 0 : -EFAULT;
}

int td_read_virtual(uint64_t address, void *data, size_t size) {
        return fetch(qemu_plugin_read_memory_vaddr(address, buffer, size), data, size);
}

/* Writes to the firmware's own image, too, which is read-only for the guest. */
int td_write_virtual(uint64_t address, const void *data, size_t size) {
        store(data, size);
        return qemu_plugin_write_memory_vaddr(address, buffer) ? 0 : -EFAULT;
}
