/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: a plug-in of QEMU's TCG that plays Intel's TDX module, so that real firmware, Linux and systemd run as a TD where no
 * processor knows TDX. At the vCPU's first instruction it gets the state in which a TD begins; CPUID leaf 0x21 says that this is a TD; TDCALL is
 * answered here. The firmware extends RTMRs and writes its event log as on hardware. Nothing is encrypted and no report has a MAC: SIMULATED.
 *
 *   -accel tcg,thread=single -plugin td-module.so,mrtd=HEX[,hob=ADDRESS][,attributes=N][,xfam=N][,mrconfigid=HEX][,mrowner=HEX]
 *           [,mrownerconfig=HEX][,quote=SOCKET][,record=FILE]
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim-bytes.h"
#include "td-module.h"
#include "td-plugin-api.h"

enum {
        CPUID_TD = 0x21,
        CPUID_SIZE = 2,
        TDCALL_SIZE = 4,
        ENTRY = 0xfffffff0,
        FIRMWARE = 0xff000000, /* where the largest image begins */
        ENTRY_CR0 = 0x21,      /* PE, NE */
        ENTRY_CR4 = 0x40,      /* MCE */
        ENTRY_EFER = 0x901,    /* SCE, LME, NXE */
        SELECTOR_CODE = 8,
        SELECTOR_DATA = 16,
};

/* Flat segments of 4 GiB, as descriptors */
#define DESCRIPTOR_CODE UINT64_C(0x00cf9b000000ffff)
#define DESCRIPTOR_DATA UINT64_C(0x00cf93000000ffff)

/* What the module says when nothing else is asked for: SEPT_VE_DISABLE, and the extended state of machines that have it. */
TdModule td_module = {
        .identity = { .attributes = UINT64_C(1) << 28, .xfam = 0x602e7 },
        .hob = 0x809000,
};

static const uint8_t CODE_TDCALL[TDCALL_SIZE] = { 0x66, 0x0f, 0x01, 0xcc };
static const uint8_t CODE_CPUID[CPUID_SIZE] = { 0x0f, 0xa2 };

/* A segment's descriptor is taken from the table when its selector is written. After a reset the table is at address 0. */
static void set_segments(void) {
        uint8_t kept[24], table[24] = {};

        td_read(0, kept, sizeof(kept));
        put_le64(table + SELECTOR_CODE, DESCRIPTOR_CODE);
        put_le64(table + SELECTOR_DATA, DESCRIPTOR_DATA);
        td_write(0, table, sizeof(table));
        td_set(TD_cs, SELECTOR_CODE);
        for (TdRegister i = TD_ss; i <= TD_gs; i++)
                td_set(i, SELECTOR_DATA);
        td_write(0, kept, sizeof(kept));
}

static void on_entry(unsigned vcpu, void *userdata) {
        (void) vcpu;
        (void) userdata;
        if (td_module.entered)
                return;
        td_module.entered = true;
        memset(td_module.rtmr, 0, sizeof(td_module.rtmr));
        td_set(TD_cr0, ENTRY_CR0);
        set_segments();
        td_set(TD_cr4, ENTRY_CR4);
        td_set(TD_efer, ENTRY_EFER);
        for (TdRegister i = TD_rax; i <= TD_rdi; i++)
                td_set(i, 0);
        td_set(TD_rbx, TD_GPAW);
        td_set(TD_rcx, td_module.hob);
        td_set(TD_r8, td_module.hob);
        td_record("\"event\": \"entry\"");
        qemu_plugin_set_pc(ENTRY);
}

/* Translated code serves all addresses at which its page is mapped, and RIP may be that of the block's beginning: the page is taken from there, the
 * place in the page from the translation, and the bytes at the place have the last word. */
static uint64_t find_pc(uint64_t translated, const uint8_t *code, size_t size) {
        uint64_t rip = td_get(TD_rip), page = rip - rip % TD_PAGE_SIZE, place = translated % TD_PAGE_SIZE;
        uint64_t tries[] = { page + place, page + TD_PAGE_SIZE + place, translated };
        uint8_t bytes[TDCALL_SIZE];

        for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
                if (td_read_virtual(tries[i], bytes, size) == 0 && memcmp(bytes, code, size) == 0)
                        return tries[i];
        return translated;
}

__attribute__((__noreturn__)) static void on_tdcall(unsigned vcpu, void *userdata) {
        (void) vcpu;
        td_call(find_pc((uintptr_t) userdata, CODE_TDCALL, sizeof(CODE_TDCALL)));
}

static void on_cpuid(unsigned vcpu, void *userdata) {
        (void) vcpu;
        if ((uint32_t) td_get(TD_rax) != CPUID_TD)
                return;
        td_set(TD_rax, 0);
        td_set(TD_rbx, get_le32((const uint8_t *) "Inte"));
        td_set(TD_rdx, get_le32((const uint8_t *) "lTDX"));
        td_set(TD_rcx, get_le32((const uint8_t *) "    "));
        qemu_plugin_set_pc(find_pc((uintptr_t) userdata, CODE_CPUID, sizeof(CODE_CPUID)) + CPUID_SIZE);
}

/* The firmware's image is private memory of a TD, and its first phase writes to its variables there. For QEMU it is read-only. */
static void on_firmware_write(unsigned vcpu, uint32_t info, uint64_t vaddr, void *userdata) {
        qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);
        uint8_t bytes[16];

        (void) vcpu;
        (void) userdata;
        if (vaddr < FIRMWARE || vaddr > UINT32_MAX || value.type > 4)
                return;
        put_le64(bytes, value.type == 4 ? value.data.u128.low : value.data.u64);
        put_le64(bytes + 8, value.type == 4 ? value.data.u128.high : 0);
        td_write_virtual(vaddr, bytes, (size_t) 1 << value.type);
}

static void on_translation(struct qemu_plugin_tb *tb, void *userdata) {
        size_t n = qemu_plugin_tb_n_insns(tb);

        (void) userdata;
        for (size_t i = 0; i < n; i++) {
                struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
                uint64_t vaddr = qemu_plugin_insn_vaddr(insn);
                uint8_t code[TDCALL_SIZE] = {};
                size_t size = qemu_plugin_insn_data(insn, code, sizeof(code));
                void (*callback)(unsigned vcpu, void *data) = NULL;

                if (i == 0 && !td_module.entered)
                        callback = on_entry;
                else if (td_native_resumes(vaddr))
                        callback = td_native_resume;
                else if (size == TDCALL_SIZE && memcmp(code, CODE_TDCALL, sizeof(CODE_TDCALL)) == 0)
                        callback = on_tdcall;
                else if (size == CPUID_SIZE && memcmp(code, CODE_CPUID, sizeof(CODE_CPUID)) == 0)
                        callback = on_cpuid;
                if (vaddr >= FIRMWARE && vaddr <= UINT32_MAX)
                        qemu_plugin_register_vcpu_mem_cb(insn, on_firmware_write, QEMU_PLUGIN_CB_NO_REGS,
                                        QEMU_PLUGIN_MEM_W, NULL);
                if (callback)
                        qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, QEMU_PLUGIN_CB_RW_REGS_PC,
                                        (void *) (uintptr_t) vaddr);
        }
}

static void on_vcpu(unsigned vcpu, void *userdata) {
        (void) userdata;
        if (vcpu == 0 && td_cpu_init() < 0) {
                fputs("td-module (simulation): this QEMU does not show the registers that a TD needs\n",
                                stderr);
                exit(EXIT_FAILURE);
        }
}

static void on_end(void *userdata) {
        (void) userdata;
        for (unsigned i = 0; i < TD_RTMRS; i++)
                td_record_bytes("rtmr", i, td_module.rtmr[i], TD_DIGEST_SIZE);
}

static int parse_number(const char *text, uint64_t *ret) {
        char *end;

        errno = 0;
        *ret = strtoull(text, &end, 0);
        return errno || *end || !*text ? -EINVAL : 0;
}

static int parse_argument(char *argument) {
        char *value = strchr(argument, '=');
        TdIdentity *td = &td_module.identity;
        const struct {
                const char *name;
                uint8_t *digest;
                uint64_t *number;
        } known[] = {
                { "mrtd", td->mrtd, NULL },
                { "mrconfigid", td->mrconfigid, NULL },
                { "mrowner", td->mrowner, NULL },
                { "mrownerconfig", td->mrownerconfig, NULL },
                { "attributes", NULL, &td->attributes },
                { "xfam", NULL, &td->xfam },
                { "hob", NULL, &td_module.hob },
        };

        if (!value)
                return -EINVAL;
        *value++ = '\0';
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                if (strcmp(argument, known[i].name) == 0)
                        return known[i].digest ? td_parse_hex(value, known[i].digest, TD_DIGEST_SIZE)
                                               : parse_number(value, known[i].number);
        if (strcmp(argument, "quote") == 0)
                td_module.quote_socket = value;
        else if (strcmp(argument, "record") == 0) {
                td_module.record = fopen(value, "we");
                return td_module.record ? 0 : -errno;
        } else
                return -EINVAL;
        return 0;
}

__attribute__((visibility("default"))) int qemu_plugin_version = TD_PLUGIN_API_VERSION;
__attribute__((visibility("default"))) int qemu_plugin_install(
                qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
        if (strcmp(info->target_name, "x86_64") != 0 || !info->system_emulation) {
                fputs("td-module (simulation): expected qemu-system-x86_64\n", stderr);
                return EXIT_FAILURE;
        }
        for (int i = 0; i < argc; i++)
                if (parse_argument(argv[i]) < 0) {
                        fprintf(stderr, "td-module (simulation): argument '%s' is not known, or has no such value\n",
                                        argv[i]);
                        return EXIT_FAILURE;
                }
        qemu_plugin_register_vcpu_init_cb(id, on_vcpu, NULL);
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
        qemu_plugin_register_atexit_cb(id, on_end, NULL);
        return 0;
}
