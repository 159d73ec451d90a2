/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OpenStack: images for Glance, a flavor for Nova (nova: doc/source/admin/sev.rst, nova/virt/libvirt/driver.py). Nova itself chooses firmware,
 * CPU model, guest policy and network; what it would choose differently is refused. */

#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "export-text.h"

#define MIB UINT64_C(1048576)
/* Nova keeps this much of each image property for later starts of a server (nova/utils.py). */
#define PROPERTY_MAX 255u

/* What Nova requests, and the first release that does. */
static const struct {
        const char *model;
        uint64_t policy;
        unsigned first;
} modes[_COCO_MODE_MAX] = {
        [COCO_SEV] = { "amd-sev", 0x33, 30000 }, /* SEV is older; stateless firmware is not */
        [COCO_SEV_ES] = { "amd-sev-es", 0x37, 32000 },
        [COCO_SEV_SNP] = { "amd-sev-snp", 0x30000, 34000 },
};

/* Glance calls what QEMU calls vpc by its other name. */
static const char *glance_format(const ExportDisk *d) {
        return streq(d->format, "vpc") ? "vhd" : d->format;
}

/* --- what cannot be said ------------------------------------------------------------------------------------------------- */

static int check_version(const ExportGuest *g, unsigned version, char ***notices, char **reterr) {
        unsigned first = modes[g->mode].first;

        if (version >= first)
                return 0;
        if (version != 0)
                return error_set(reterr, -EINVAL,
                                "--nova-version: Nova %u cannot launch this guest: %s with stateless firmware needs Nova %u or later",
                                version / 1000, coco_of(g->mode)->label, first / 1000);
        return g->mode != COCO_SEV_SNP
                        ? 0
                        : strv_pushf(notices, "SEV-SNP needs Nova %u or later, or a distribution's patches",
                                          first / 1000);
}

static int check_policy(const ExportGuest *g, char ***notices, char **reterr) {
        uint64_t nova = modes[g->mode].policy;

        if (g->policy == nova)
                return 0;
        if (g->policy != coco_of(g->mode)->policy.initial)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: Nova requests the policy 0x%" PRIx64
                                " for %s, not 0x%" PRIx64 ": leave the option out, or set that policy",
                                nova, coco_of(g->mode)->label, g->policy);
        return strv_pushf(
                        notices, "Nova requests the policy 0x%" PRIx64 ", not 0x%" PRIx64, nova, g->policy);
}

static int check_boot(const ExportGuest *g, char **reterr) {
        size_t n = g->kernel && g->cmdline ? strlen(g->cmdline) : 0;

        if (g->kernel && !coco_of(g->mode)->id_block)
                return error_set(reterr, -EINVAL,
                                "Nova turns on kernel hashes for SEV-SNP only, so a separate kernel would not be measured with %s: boot the one in the image (--single-image)",
                                coco_of(g->mode)->label);
        if (g->kernel && !g->kernel_hashes)
                return error_set(reterr, -EINVAL, "Nova turns on kernel hashes, and this launch has none");
        if (g->kernel && n == 0)
                return error_set(reterr, -EINVAL,
                                "the kernel command line is empty: then Nova uses one that it makes itself (root=..., consoles)");
        if (n > PROPERTY_MAX)
                return error_set(reterr, -EINVAL,
                                "the kernel command line has %zu bytes: Nova keeps %u bytes of an image property, and a server that is started again would have another digest",
                                n, PROPERTY_MAX);
        return 0;
}

static int check_devices(const ExportGuest *g, char **reterr) {
        const char *type = g->n_disks > 0 ? g->disks->type : "";

        if (g->n_disks == 0)
                return error_set(reterr, -EINVAL,
                                "Nova starts a server from an image of a disk: pass it with --image=FILE (and --allow-untrusted=disk)");
        if (!streq(type, "virtio-blk") && !streq(type, "virtio-scsi"))
                return error_set(reterr, -EINVAL,
                                "--image-disk-type=%s: an encrypted guest of Nova has its disk on virtio-blk or virtio-scsi",
                                type);
        if (g->disks->read_only)
                return error_set(reterr, -EINVAL, "the disk of a server is never read-only");
        if (g->virtio_console)
                return error_set(reterr, -EINVAL,
                                "--console-transport=virtio: Nova's console is a serial port");
        return 0;
}

static int check(const ExportGuest *g, const ExportOptions *o, char ***notices, char **reterr) {
        const Coco *coco = coco_of(g->mode);
        int r;

        if (!modes[g->mode].model)
                return error_set(reterr, -EINVAL, "Nova does not know %s", coco->label);
        if (coco->vcpus_measured && !coco->guest_features && !g->legacy_vm_type)
                return error_set(reterr, -EINVAL,
                                "Nova's libvirt cannot request the newer type of %s machine, whose vCPUs have another digest: add --sev-vm-type=legacy",
                                coco->label);
        r = check_version(g, o->nova, notices, reterr);
        if (r >= 0)
                r = check_boot(g, reterr);
        if (r >= 0)
                r = check_devices(g, reterr);
        return r < 0 ? r : check_policy(g, notices, reterr);
}

static int add_notices(const ExportGuest *g, char ***notices) {
        bool host = streq(g->cpu_model, "host"), cpu = coco_of(g->mode)->vcpus_measured;
        int r = strv_pushf(notices,
                        "Nova chooses the firmware%s: compute nodes must have the bytes of '%s'%s%s, or the launch digest differs",
                        cpu ? " and the CPU model" : "", g->firmware, cpu && !host ? " and cpu_models=" : "",
                        cpu && !host ? g->cpu_model : "");

        if (r >= 0 && cpu && host)
                r = strv_push(notices,
                                "--cpu=host: the launch digest depends on the CPU of the compute node, and its servers show 'host' as ATTESTATION:vcpu_model; pass its signature to 'cvmspawn measure' with --vcpu-sig");
        if (r >= 0 && !g->kernel)
                r = strv_push(notices,
                                "without kernel_id the launch digest covers the firmware, not the kernel in the image");
        return r;
}

/* --- images and flavor --------------------------------------------------------------------------------------------------- */

typedef struct Property {
        const char *key, *value;
} Property;

#define PROPERTIES_MAX 10u

/* How many; those of the main image. kernel_id and ramdisk_id are not here: they are known when the others are stored. */
static size_t image_properties(const ExportGuest *g, Property p[static PROPERTIES_MAX]) {
        size_t n = 0;

        p[n++] = (Property) { "hw_firmware_type", "uefi" };
        p[n++] = (Property) { "hw_machine_type", "q35" };
        p[n++] = (Property) { "hw_mem_encryption", "true" };
        p[n++] = (Property) { "hw_mem_encryption_model", modes[g->mode].model };
        p[n++] = (Property) { "hw_firmware_stateless", "true" };
        if (streq(g->disks->type, "virtio-scsi")) {
                p[n++] = (Property) { "hw_disk_bus", "scsi" };
                p[n++] = (Property) { "hw_scsi_model", "virtio-scsi" };
        }
        if (g->kernel)
                p[n++] = (Property) { "os_command_line", g->cmdline };
        return n;
}

/* An image that the main one refers to. */
typedef struct Part {
        const char *what, *suffix, *file, *property, *variable;
        ExportStored stored;
} Part;

static size_t parts_of(const ExportGuest *g, Part p[static 2]) {
        size_t n = 0;

        if (g->kernel)
                p[n++] = (Part) { "kernel", "-kernel", g->kernel, "kernel_id", "KERNEL_ID",
                        g->kernel_stored };
        if (g->kernel && g->initrd)
                p[n++] = (Part) { "initrd", "-initrd", g->initrd, "ramdisk_id", "RAMDISK_ID",
                        g->initrd_stored };
        return n;
}

/* --- as commands --------------------------------------------------------------------------------------------------------- */

static void put_words(Text *t, const char *option, const char *value) {
        text_putf(t, " \\\n        %s ", option);
        export_put_shell(t, value);
}

static void put_property(Text *t, const Property *p) {
        _cleanup_(text_done) Text pair = {};
        _cleanup_free_ char *text = NULL;

        text_putf(&pair, "%s=%s", p->key, p->value);
        if (text_finish(&pair, &text) < 0)
                t->error = -ENOMEM;
        else
                put_words(t, "--property", text);
}

static void put_name(Text *t, const char *name, const char *suffix) {
        _cleanup_(text_done) Text whole = {};
        _cleanup_free_ char *text = NULL;

        text_putf(&whole, "%s%s", name, suffix);
        if (text_finish(&whole, &text) < 0)
                t->error = -ENOMEM;
        else
                export_put_shell(t, text);
}

static void put_image(const ExportGuest *g, Text *t) {
        Property p[PROPERTIES_MAX];
        Part parts[2];
        size_t n = image_properties(g, p), n_parts = parts_of(g, parts);

        FOREACH_ARRAY(part, parts, n_parts) {
                if (part->stored.sha512)
                        text_putf(t,
                                        "# Glance has to show size %" PRIu64
                                        ", os_hash_algo sha512, os_hash_value %s\n",
                                        part->stored.size, part->stored.sha512);
                text_putf(t, "%s=$(openstack image create ", part->variable);
                put_name(t, g->name, part->suffix);
                text_put(t, " --disk-format raw --container-format bare -f value -c id");
                put_words(t, "--file", part->file);
                text_put(t, ")\n");
        }
        text_put(t, "IMAGE_ID=$(openstack image create ");
        export_put_shell(t, g->name);
        text_putf(t, " --disk-format %s --container-format bare -f value -c id", glance_format(g->disks));
        FOREACH_ARRAY(property, p, n)
                put_property(t, property);
        FOREACH_ARRAY(part, parts, n_parts)
                text_putf(t, " \\\n        --property \"%s=$%s\"", part->property, part->variable);
        put_words(t, "--file", g->disks->path);
        text_put(t, ")\n");
}

/* The flavor asks for no encryption, the image does: with cpu_mode=custom, Nova checks what a flavor asks for without the image's properties, and
 * refuses the server (nova/virt/libvirt/utils.py, get_flags_by_flavor_specs). */
static void put_server(const ExportGuest *g, Text *t) {
        text_put(t,
                        "if [ -z \"${FLAVOR:-}\" ]; then\n"
                        "        FLAVOR=$(openstack flavor create ");
        export_put_shell(t, g->name);
        text_putf(t,
                        " -f value -c id --vcpus %u --ram %" PRIu64
                        " --disk \"${DISK:?set DISK to the size of the disk in GiB, or FLAVOR to an existing flavor}\")\nfi\nopenstack server create ",
                        g->vcpus, g->ram / MIB);
        export_put_shell(t, g->name);
        text_put(t, " --image \"$IMAGE_ID\" --flavor \"$FLAVOR\" \"$@\"\n");
}

static void put_script(const ExportGuest *g, Text *t) {
        text_putf(t,
                        "#!/bin/sh\n# Written by cvmspawn-export(1): %s, %u vCPUs. Arguments are passed on to 'openstack server create'. 'flavor create' needs an\n"
                        "# administrator: set FLAVOR to an existing flavor instead.\nset -eu\n",
                        coco_of(g->mode)->label, g->vcpus);
        put_image(g, t);
        put_server(g, t);
}

/* --- as JSON ------------------------------------------------------------------------------------------------------------- */

static int set_properties(Json *to, const Property *p, size_t n) {
        Json *j = js_object();
        int r = j ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = js_set(j, p[i].key, js_string(p[i].value));
        if (r < 0) {
                js_unref(j);
                return r;
        }
        return js_set(to, "properties", j);
}

/* In the form of 'openstack image show -f json'. These are Glance's own: nobody can set them. */
static int set_shown(const ExportStored *s, Json *to) {
        Json *j = NULL;
        int r = s->sha512 ? js_build(&j, "{s:I, s:{s:s, s:s}}", "size", (long long) s->size, "properties",
                                            "os_hash_algo", "sha512", "os_hash_value", s->sha512)
                          : 0;

        return r < 0 || !j ? r : js_set(to, "shown", j);
}

/* *ret is borrowed from the array. */
static int append_image(
                Json *images, const Part *part, const ExportGuest *g, const char *format, Json **ret) {
        _cleanup_(text_done) Text whole = {};
        _cleanup_free_ char *text = NULL;
        int r;

        text_putf(&whole, "%s%s", g->name, part->suffix);
        r = text_finish(&whole, &text);
        if (r >= 0)
                r = js_build(ret, "{s:s, s:s, s:s, s:s, s:s}", "role", part->what, "name", text,
                                "disk_format", format, "container_format", "bare", "file", part->file);
        if (r >= 0)
                r = js_append(images, *ret);
        return r < 0 ? r : set_shown(&part->stored, *ret);
}

static int set_images(const ExportGuest *g, Json *to) {
        Json *images = js_array(), *j = NULL, *references = js_object();
        Property p[PROPERTIES_MAX];
        Part parts[2];
        const Part disk = { .what = "disk", .suffix = "", .file = g->disks->path };
        size_t n = image_properties(g, p), n_parts = parts_of(g, parts);
        int r = images && references ? 0 : -ENOMEM;

        FOREACH_ARRAY(part, parts, n_parts) {
                if (r >= 0)
                        r = append_image(images, part, g, "raw", &j);
                if (r >= 0)
                        r = js_set(references, part->property, js_string(part->what));
        }
        if (r >= 0)
                r = append_image(images, &disk, g, glance_format(g->disks), &j);
        if (r >= 0)
                r = set_properties(j, p, n);
        if (r >= 0)
                r = js_set(j, "references", js_ref(references));
        js_unref(references);
        if (r < 0) {
                js_unref(images);
                return r;
        }
        return js_set(to, "images", images);
}

static int set_flavor(const ExportGuest *g, Json *to) {
        Json *j = NULL;
        int r = js_build(&j, "{s:s, s:I, s:I, s:{}}", "name", g->name, "vcpus", (long long) g->vcpus, "ram",
                        (long long) (g->ram / MIB), "properties");

        return r < 0 ? r : js_set(to, "flavor", j);
}

/* What no property says, and the digest depends on. */
static int set_node(const ExportGuest *g, Json *to) {
        Json *j = js_object();
        int r = js_set(j, "firmware", js_string(g->firmware));

        if (r >= 0 && coco_of(g->mode)->vcpus_measured)
                r = js_set(j, "cpu-model", js_string(g->cpu_model));
        if (r < 0) {
                js_unref(j);
                return r;
        }
        return js_set(to, "compute-node", j);
}

static int put_json(const ExportGuest *g, JsStyle style, Text *t) {
        _cleanup_js_ Json *j = js_object();
        _cleanup_free_ char *text = NULL;
        int r = j ? set_images(g, j) : -ENOMEM;

        if (r >= 0)
                r = set_flavor(g, j);
        if (r >= 0)
                r = set_node(g, j);
        text = r >= 0 ? js_text(j, style) : NULL;
        if (!text)
                return r < 0 ? r : -ENOMEM;
        text_putf(t, "%s\n", text);
        return 0;
}

int export_openstack(const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr) {
        int r = check(g, o, notices, reterr);

        if (r >= 0)
                r = add_notices(g, notices);
        if (r < 0)
                return r;
        if (o->json)
                return put_json(g, o->style, t);
        put_script(g, t);
        return 0;
}
