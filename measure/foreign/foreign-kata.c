/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-kata.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "foreign-effect.h"
#include "foreign-text.h"
#include "kata-toml.h"
#include "kata-words.h"
#include "strutil.h"

#define CONFIG_SIZE_MAX (1024u * 1024u)
#define POLICY_DEFAULT  0x30000u
#define MIB_MAX         (64u * 1024u * 1024u)

/* --- keys ---------------------------------------------------------------------------------------------------------------- */

static const EffectRow hypervisor_rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "kernel image initrd firmware firmware_volume pflashes machine_type machine_accelerators rootfs_type confidential_guest sev_snp_guest snp_id_block snp_id_auth snp_guest_policy kernel_params kernel_verity_params cpu_features default_vcpus default_memory use_legacy_serial block_device_driver enable_debug enable_iommu disable_guest_selinux disable_image_nvdimm" },
        { .effect = EFFECT_NONE,
                        .names = "path jailer_path ctlpath rootless enable_annotations valid_hypervisor_paths valid_ctlpaths valid_jailer_paths seccompsandbox default_maxvcpus default_bridges memory_slots default_maxmemory memory_offset enable_virtio_mem disable_block_device_use" },
        { .effect = EFFECT_NONE,
                        .names = "shared_fs virtio_fs_daemon valid_virtio_fs_daemon_paths virtio_fs_cache_size virtio_fs_queue_size virtio_fs_extra_args virtio_fs_cache block_device_aio block_device_cache_set block_device_cache_direct block_device_cache_noflush block_device_logical_sector_size block_device_physical_sector_size" },
        { .effect = EFFECT_NONE,
                        .names = "enable_iothreads indep_iothreads enable_mem_prealloc reclaim_guest_freed_memory enable_hugepages enable_vhost_user_store vhost_user_store_path enable_iommu_platform enable_numa numa_mapping valid_vhost_user_store_paths vhost_user_reconnect_timeout_sec file_mem_backend valid_file_mem_backends" },
        { .effect = EFFECT_NONE,
                        .names = "disable_nesting_checks msize_9p pcie_root_port cold_plug_vfio hot_plug_vfio disable_vhost_net entropy_source valid_entropy_sources guest_hook_path rx_rate_limiter_max_rate tx_rate_limiter_max_rate guest_memory_dump_path guest_memory_dump_paging enable_guest_swap disable_selinux hypervisor_loglevel extra_monitor_socket" },
};
static const EffectTable hypervisor = { "[hypervisor.qemu] key ", hypervisor_rows,
        ELEMENTSOF(hypervisor_rows) };

static const EffectRow agent_rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "enable_debug enable_tracing debug_console_enabled cdh_api_timeout launch_process_timeout" },
        { .effect = EFFECT_NONE, .names = "kernel_modules dial_timeout" },
};
static const EffectTable agent = { "[agent.kata] key ", agent_rows, ELEMENTSOF(agent_rows) };

static const EffectRow runtime_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "static_sandbox_resource_mgmt" },
        { .effect = EFFECT_NONE,
                        .names = "enable_debug internetworking_model disable_guest_seccomp enable_vcpus_pinning guest_selinux_label enable_tracing jaeger_endpoint jaeger_user jaeger_password disable_new_netns sandbox_cgroup_only sandbox_bind_mounts vfio_mode disable_guest_empty_dir emptydir_mode experimental enable_pprof create_container_timeout dan_conf forceguestpull pod_resource_api_sock kubelet_root_dir" },
};
static const EffectTable runtime = { "[runtime] key ", runtime_rows, ELEMENTSOF(runtime_rows) };

static const EffectRow factory_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "enable_template vm_cache_number" },
        { .effect = EFFECT_NONE, .names = "template_path vm_cache_endpoint" },
};
static const EffectTable factory = { "[factory] key ", factory_rows, ELEMENTSOF(factory_rows) };

static const struct {
        const char *name;
        const EffectTable *table;
} tables[] = {
        { "hypervisor.qemu", &hypervisor },
        { "agent.kata", &agent },
        { "runtime", &runtime },
        { "factory", &factory },
};

typedef struct Reader {
        const ForeignOptions *o;
        const Json *all, *hypervisor, *agent; /* borrowed */
        KataLine line;
        char **reterr;
} Reader;

static int check_table(Reader *q, const char *name, const Json *members) {
        const EffectTable *table = NULL;
        int r = 0;

        FOREACH_ARRAY(t, tables, ELEMENTSOF(tables))
                if (streq(t->name, name))
                        table = t->table;
        /* Keys in front of the first table are in "". */
        if (!table && (*name || js_iter(members)))
                return error_set(q->reterr, -EINVAL, "[%s] is not a table of Kata's configuration for QEMU",
                                name);
        for (void *i = js_iter(members); i && r >= 0; i = js_iter_next(members, i))
                r = effect_check(table, js_iter_key(i), q->o->assumed, q->reterr);
        return r < 0 ? r : 0;
}

static int check_keys(Reader *q) {
        int r = 0;

        for (void *i = js_iter(q->all); i && r >= 0; i = js_iter_next(q->all, i))
                r = check_table(q, js_iter_key(i), js_iter_value(i));
        q->hypervisor = js_get(q->all, "hypervisor.qemu");
        q->agent = js_get(q->all, "agent.kata");
        if (r >= 0 && !q->hypervisor)
                r = error_set(q->reterr, -EINVAL, "[hypervisor.qemu] is missing");
        return r;
}

/* --- values -------------------------------------------------------------------------------------------------------------- */

/* NULL where it is missing or empty: Kata takes these alike. */
static int text_at(Reader *q, const char *key, const char **ret) {
        const Json *v = js_get(q->hypervisor, key);

        *ret = js_string_value(v);
        if (v && !*ret)
                return error_set(q->reterr, -EINVAL, "%s is not a string", key);
        if (*ret && !**ret)
                *ret = NULL;
        return 0;
}

static int bool_at(Reader *q, const Json *table, const char *key, bool initial, bool *ret) {
        const Json *v = table ? js_get(table, key) : NULL;

        *ret = initial;
        return v && js_bool_value(v, ret) < 0
                        ? error_set(q->reterr, -EINVAL, "%s is neither true nor false", key)
                        : 0;
}

static int number_at(Reader *q, const Json *table, const char *key, unsigned initial, unsigned *ret) {
        const Json *v = table ? js_get(table, key) : NULL;
        uint64_t n = initial;

        if (v && (js_u64_value(v, &n) < 0 || n > UINT32_MAX))
                return error_set(q->reterr, -EINVAL, "%s is not a number that holds on each host", key);
        *ret = (unsigned) n;
        return 0;
}

/* What must be one value, since another one changes the launch in a way that is not worked out here. */
static int check_fixed(Reader *q) {
        static const struct {
                const char *key;
                bool initial, needed;
                const char *why;
        } flags[] = {
                { "confidential_guest", false, true, "the guest is not confidential" },
                { "sev_snp_guest", false, true, "only SEV-SNP guests are measured" },
                { "enable_iommu", false, false, "it adds to the kernel command line" },
                { "disable_guest_selinux", true, true, "it changes the kernel command line" },
                { "disable_image_nvdimm", true, true, "a confidential guest has no NVDIMM" },
        };
        static const char *const empty[] = { "firmware_volume", "machine_accelerators" };
        bool b;
        int r = 0;

        FOREACH_ARRAY(f, flags, ELEMENTSOF(flags)) {
                r = bool_at(q, q->hypervisor, f->key, f->initial, &b);
                if (r < 0)
                        return r;
                if (b != f->needed)
                        return error_set(q->reterr, -EINVAL, "%s must be %s here: %s", f->key,
                                        f->needed ? "true" : "false", f->why);
        }
        for (size_t i = 0; i < ELEMENTSOF(empty); i++) {
                const char *text;

                r = text_at(q, empty[i], &text);
                if (r < 0)
                        return r;
                if (text)
                        return error_set(q->reterr, -EINVAL, "%s='%s' is not supported: leave it empty",
                                        empty[i], text);
        }
        if (js_length(js_get(q->hypervisor, "pflashes")) > 0)
                return error_set(q->reterr, -EINVAL, "pflashes is not supported: leave it empty");
        return 0;
}

static int check_factory(Reader *q) {
        const Json *f = js_get(q->all, "factory");
        unsigned caches;
        bool template;
        int r = bool_at(q, f, "enable_template", false, &template);

        if (r >= 0)
                r = number_at(q, f, "vm_cache_number", 0, &caches);
        if (r >= 0 && (template || caches > 0))
                r = error_set(q->reterr, -EINVAL,
                                "[factory] makes guests by copying another one, which a confidential guest cannot be");
        return r;
}

/* --- the line ------------------------------------------------------------------------------------------------------------ */

static int push(Reader *q, const char *option, const char *value) {
        int r = strv_push(&q->line.argv, option);

        return r < 0 ? r : strv_push(&q->line.argv, value);
}

/* `rest` gets what follows the policy on the object. */
static int put_ids(Reader *q, Text *rest) {
        const char *block, *auth;
        int r = text_at(q, "snp_id_block", &block);

        if (r >= 0)
                r = text_at(q, "snp_id_auth", &auth);
        if (r >= 0 && !block != !auth)
                r = error_set(q->reterr, -EINVAL,
                                "snp_id_block and snp_id_auth belong together: Kata refuses one without the other");
        if (r >= 0 && block)
                text_putf(rest, ",id-block=%s,id-auth=%s", block, auth);
        if (r >= 0 && q->o->given.host_data)
                text_putf(rest, ",host-data=%s", q->o->given.host_data);
        return r;
}

static int put_object(Reader *q) {
        _cleanup_(text_done) Text rest = {};
        _cleanup_free_ char *ids = NULL;
        unsigned policy;
        int r = put_ids(q, &rest);

        if (r >= 0)
                r = text_finish(&rest, &ids);
        if (r >= 0)
                r = number_at(q, q->hypervisor, "snp_guest_policy", POLICY_DEFAULT, &policy);
        if (r >= 0)
                r = strv_push(&q->line.argv, "-object");
        return r < 0 ? r
                     : strv_pushf(&q->line.argv,
                                       "sev-snp-guest,id=snp,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,policy=%u%s",
                                       policy, ids);
}

static int put_machine(Reader *q) {
        const char *type, *features;
        unsigned vcpus, memory;
        int r = text_at(q, "machine_type", &type);

        if (r >= 0)
                r = text_at(q, "cpu_features", &features);
        if (r >= 0)
                r = number_at(q, q->hypervisor, "default_vcpus", 1, &vcpus);
        if (r >= 0)
                r = number_at(q, q->hypervisor, "default_memory", 2048, &memory);
        if (r >= 0 && (memory == 0 || memory > MIB_MAX))
                r = error_set(q->reterr, -EINVAL, "default_memory is not a size in MiB");
        if (r >= 0 && type && !streq(type, "q35"))
                r = error_set(q->reterr, -EINVAL, "machine_type is %s: a confidential guest of Kata has q35",
                                type);
        if (r >= 0)
                r = push(q, "-machine", "q35,accel=kvm,kernel_irqchip=split,confidential-guest-support=snp");
        if (r >= 0)
                r = strv_push(&q->line.argv, "-cpu");
        if (r >= 0)
                r = strv_pushf(&q->line.argv, KATA_CPU_MODEL "%s%s", features ? "," : "", features ?: "");
        if (r >= 0)
                r = strv_push(&q->line.argv, "-smp");
        if (r >= 0)
                r = strv_pushf(&q->line.argv, "%u", vcpus ?: 1);
        if (r >= 0)
                r = strv_push(&q->line.argv, "-m");
        return r < 0 ? r : strv_pushf(&q->line.argv, "%uM", memory);
}

static int put_words(Reader *q, const char *image) {
        KataWords w = {};
        _cleanup_free_ char *words = NULL;
        const char *driver, *type;
        int r = text_at(q, "rootfs_type", &type);

        w.rootfs_type = image ? type ?: "ext4" : NULL;
        if (r >= 0)
                r = text_at(q, "kernel_verity_params", &w.verity);
        if (r >= 0)
                r = text_at(q, "kernel_params", &w.params);
        if (r >= 0)
                r = text_at(q, "block_device_driver", &driver);
        if (r >= 0)
                r = bool_at(q, q->hypervisor, "use_legacy_serial", false, &w.legacy_serial);
        if (r >= 0)
                r = bool_at(q, q->hypervisor, "enable_debug", false, &w.debug);
        if (r >= 0)
                r = bool_at(q, q->agent, "enable_debug", false, &w.agent_debug);
        if (r >= 0)
                r = bool_at(q, q->agent, "enable_tracing", false, &w.agent_tracing);
        if (r >= 0)
                r = bool_at(q, q->agent, "debug_console_enabled", false, &w.agent_console);
        if (r >= 0)
                r = number_at(q, q->agent, "cdh_api_timeout", 0, &w.cdh_timeout);
        if (r >= 0)
                r = number_at(q, q->agent, "launch_process_timeout", 0, &w.launch_timeout);
        w.scsi = r >= 0 && (!driver || streq(driver, "virtio-scsi"));
        if (r >= 0)
                r = kata_words(&w, &words, q->reterr);
        return r < 0 ? r : push(q, "-append", words);
}

static int put_files(Reader *q) {
        const char *kernel, *image, *initrd, *firmware;
        int r = text_at(q, "kernel", &kernel);

        if (r >= 0)
                r = text_at(q, "image", &image);
        if (r >= 0)
                r = text_at(q, "initrd", &initrd);
        if (r >= 0)
                r = text_at(q, "firmware", &firmware);
        if (r < 0)
                return r;
        if (!kernel || !firmware)
                return error_set(q->reterr, -EINVAL, "%s is missing in [hypervisor.qemu]",
                                kernel ? "firmware" : "kernel");
        if (!image == !initrd)
                return error_set(q->reterr, -EINVAL, "expected either image or initrd in [hypervisor.qemu]");
        r = push(q, "-bios", firmware);
        if (r >= 0)
                r = push(q, "-kernel", kernel);
        if (r >= 0 && initrd)
                r = push(q, "-initrd", initrd);
        return r < 0 ? r : put_words(q, image);
}

static int put_notices(Reader *q) {
        bool sized;
        int r = bool_at(q, js_get(q->all, "runtime"), "static_sandbox_resource_mgmt", false, &sized);

        if (r >= 0)
                r = strv_push(&q->line.notices,
                                "this is what Kata 4.1's Go runtime starts by this file; annotations of a pod change it where enable_annotations allows it, and other releases have other kernel command lines");
        if (r >= 0 && q->o->given.host_data)
                r = strv_pushf(&q->line.notices,
                                "initdata: reports of the pod have the host data '%s', which no launch digest covers: compare it in the report",
                                q->o->given.host_data);
        if (r >= 0 && sized)
                r = strv_push(&q->line.notices,
                                "static_sandbox_resource_mgmt: a pod with CPU limits gets more vCPUs than default_vcpus: pass their number with --vcpus");
        return r;
}

/* ------------------------------------------------------------------------------------------------------------------------- */

void kata_line_done(KataLine *l) {
        strv_free(l->argv);
        strv_free(l->notices);
        *l = (KataLine) {};
}

int kata_line_read(const char *text, size_t size, const ForeignOptions *o, KataLine *ret, char **reterr) {
        static int (*const steps[])(Reader * q) = { check_keys, check_fixed, check_factory, put_machine,
                put_object, put_files, put_notices };
        _cleanup_js_ Json *all = NULL;
        Reader q = { .o = o, .reterr = reterr };
        int r = kata_toml_read(text, size, &all, reterr);

        q.all = all;
        if (r >= 0)
                r = strv_push(&q.line.argv, "qemu-system-x86_64");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = steps[i](&q);
        if (r < 0) {
                kata_line_done(&q.line);
                return r;
        }
        *ret = q.line;
        return 0;
}

int foreign_from_kata(const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_(kata_line_done) KataLine line = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = foreign_read_text("from-kata", path, CONFIG_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = kata_line_read(text, size, o, &line, reterr);
        STRV_FOREACH(n, r >= 0 ? line.notices : NULL)
                if (r >= 0)
                        r = strv_push(&ret->notices, *n);
        if (r >= 0)
                r = foreign_from_argv(line.argv, NULL, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-kata") : 0;
}
