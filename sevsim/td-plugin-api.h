/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the simulated TDX module uses of QEMU's plug-in interface, version 7 (QEMU 11.1, "QEMU TCG Plugins" in its manual), and of GLib, which every
 * QEMU has loaded. Declared here: neither is needed to build, and a QEMU with another version of the interface refuses the plug-in by itself. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TD_PLUGIN_API_VERSION 7

typedef struct _GByteArray {
        uint8_t *data;
        unsigned len;
} GByteArray;

typedef struct _GArray {
        char *data;
        unsigned len;
} GArray;

#define G_CHECKSUM_SHA384 4

GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_append(GByteArray *array, const uint8_t *data, unsigned len);
GByteArray *g_byte_array_set_size(GByteArray *array, unsigned length);
char *g_array_free(GArray *array, int free_segment);
char *g_compute_checksum_for_data(int kind, const uint8_t *data, size_t length);
void g_free(void *memory);

typedef uint64_t qemu_plugin_id_t;

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_register;

typedef struct qemu_info_t {
        const char *target_name;
        struct {
                int min;
                int cur;
        } version;
        bool system_emulation;
        struct {
                int smp_vcpus;
                int max_vcpus;
        } system;
} qemu_info_t;

typedef struct qemu_plugin_reg_descriptor {
        struct qemu_plugin_register *handle;
        const char *name;
        const char *feature;
        bool is_readonly;
} qemu_plugin_reg_descriptor;

enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_CB_RW_REGS_PC = 3 };
enum { QEMU_PLUGIN_MEM_W = 2 };

/* The type is the logarithm of the size in bytes. */
typedef struct qemu_plugin_mem_value {
        int type;
        union {
                uint8_t u8;
                uint16_t u16;
                uint32_t u32;
                uint64_t u64;
                struct {
                        uint64_t low;
                        uint64_t high;
                } u128;
        } data;
} qemu_plugin_mem_value;

void qemu_plugin_register_vcpu_init_cb(
                qemu_plugin_id_t id, void (*callback)(unsigned vcpu, void *userdata), void *userdata);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                void (*callback)(struct qemu_plugin_tb *tb, void *userdata), void *userdata);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                void (*callback)(unsigned vcpu, void *userdata), int flags, void *userdata);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                void (*callback)(unsigned vcpu, uint32_t info, uint64_t vaddr, void *userdata), int flags,
                int access, void *userdata);
qemu_plugin_mem_value qemu_plugin_mem_get_value(uint32_t info);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(void *userdata), void *userdata);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *data, size_t length);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

GArray *qemu_plugin_get_registers(void);
bool qemu_plugin_read_register(struct qemu_plugin_register *handle, GByteArray *buffer);
bool qemu_plugin_write_register(struct qemu_plugin_register *handle, GByteArray *buffer);
void qemu_plugin_set_pc(uint64_t vaddr) __attribute__((__noreturn__));

bool qemu_plugin_read_memory_vaddr(uint64_t address, GByteArray *data, size_t length);
bool qemu_plugin_write_memory_vaddr(uint64_t address, GByteArray *data);
int qemu_plugin_read_memory_hwaddr(uint64_t address, GByteArray *data, size_t length);
int qemu_plugin_write_memory_hwaddr(uint64_t address, GByteArray *data);
