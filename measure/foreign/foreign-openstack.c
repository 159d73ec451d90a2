/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-openstack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-openstack-reader.h"
#include "foreign-text.h"
#include "strutil.h"

/* Answers of the services have some KiB. */
#define TEXT_SIZE_MAX (1024u * 1024u)
#define RAM_MAX       (64u * 1024u * 1024u) /* MiB */
/* Nova keeps this much of each image property for later starts of a server (nova/utils.py). */
#define PROPERTY_MAX 255u
/* As kernel_id: the server boots from its disk, whatever ramdisk_id is (nova/compute/api.py). */
#define NO_KERNEL "nokernel"

/* --- the line ------------------------------------------------------------------------------------------------------------ */

static int push(OpenstackReader *q, const char *option, const char *value) {
        int r = strv_push(&q->line.argv, option);

        return r < 0 ? r : strv_push(&q->line.argv, value);
}

typedef struct KernelFile {
        const char *option, *key, *measure; /* QEMU's, Glance's and our name */
        const char *given;
        bool hash; /* given in its place */
} KernelFile;

/* What the server runs with is what the image has now. */
static int check_running(OpenstackReader *q, const char *key, const char *id) {
        _cleanup_free_ char *server_key = NULL;
        const char *running;
        int r;

        if (asprintf(&server_key, "OS-EXT-SRV-ATTR:%s", key) < 0)
                return -ENOMEM;
        r = openstack_text_at(q, q->in->server, server_key, &running);
        if (r < 0 || !running || streq(running, id ?: ""))
                return r;
        return error_set(q->reterr, -EINVAL,
                        "the server has %s=%s, and the image %s: pass the image that the server was started from",
                        key, running, id ?: "has none");
}

static bool disables_kernel(const OpenstackReader *q) {
        const char *id = js_string_value(js_get(q->properties, "kernel_id"));

        return id && streq(id, NO_KERNEL);
}

static bool boots_kernel(const OpenstackReader *q) {
        const char *id = js_string_value(js_get(q->properties, "kernel_id"));

        return id && *id && !disables_kernel(q);
}

/* *ret: there is one. */
static int put_kernel_file(OpenstackReader *q, const KernelFile *f, bool *ret) {
        const char *id;
        int r = openstack_text_at(q, q->properties, f->key, &id);

        if (r < 0)
                return r;
        id = id && *id && !disables_kernel(q) ? id : NULL;
        *ret = id;
        r = check_running(q, f->key, id);
        if (r < 0)
                return r;
        if (!id)
                return f->given || f->hash
                                ? error_set(q->reterr, -EINVAL,
                                                  "--%s has no meaning here: the image has no property %s",
                                                  f->measure, f->key)
                                : 0;
        if (!f->given && !f->hash)
                return error_set(q->reterr, -EINVAL,
                                "the image's %s is %s, which is measured: get it with 'openstack image save --file FILE %s', and pass it with --%s=FILE",
                                f->key, id, id, f->measure);
        r = openstack_compare_stored(q, f->measure, id, f->given);
        return r < 0 ? r : push(q, f->option, f->given ?: id);
}

static int put_cmdline(OpenstackReader *q) {
        const char *text, *device;
        int r = openstack_text_at(q, q->properties, "os_command_line", &text);

        if (r < 0)
                return r;
        if (text && *text) {
                r = push(q, "-append", text);
                if (r >= 0 && strlen(text) > PROPERTY_MAX)
                        r = strv_pushf(&q->line.notices,
                                        "os_command_line has %zu bytes: Nova keeps %u bytes of an image property, and a server that is started again has another digest",
                                        strlen(text), PROPERTY_MAX);
                return r;
        }
        if (q->o->given.append || q->o->given.cmdline_hash)
                return 0;
        r = openstack_text_at(q, q->in->server, "OS-EXT-SRV-ATTR:root_device_name", &device);
        if (r < 0)
                return r;
        if (!device)
                return error_set(q->reterr, -EINVAL,
                                "the image has no os_command_line, so Nova makes a kernel command line that names the root device: pass it with --append (such as 'root=/dev/vda console=tty0 console=ttyS0 console=hvc0')");
        r = strv_push(&q->line.argv, "-append");
        if (r >= 0)
                r = strv_pushf(&q->line.argv, "root=%s console=tty0 console=ttyS0 console=hvc0", device);
        return r < 0 ? r
                     : strv_push(&q->line.notices,
                                       "the image has no os_command_line: using the one that Nova makes itself");
}

static int put_boot(OpenstackReader *q) {
        const ForeignGiven *g = &q->o->given;
        const KernelFile kernel_file = { "-kernel", "kernel_id", "kernel", g->kernel, g->kernel_hash };
        const KernelFile initrd_file = { "-initrd", "ramdisk_id", "initrd", g->initrd, g->initrd_hash };
        bool kernel, initrd;
        int r = put_kernel_file(q, &kernel_file, &kernel);

        if (r >= 0)
                r = put_kernel_file(q, &initrd_file, &initrd);
        if (r < 0 || kernel)
                return r < 0 ? r : put_cmdline(q);
        if (initrd)
                return error_set(q->reterr, -EINVAL, "the image has a ramdisk_id and no kernel_id");
        if (g->append || g->cmdline_hash)
                return error_set(q->reterr, -EINVAL,
                                "--append has no meaning here: the image has no property kernel_id");
        return strv_push(&q->line.notices,
                        "NOT MEASURED: the kernel in the image, since the image has no kernel_id: the digest covers the firmware");
}

static int put_size(OpenstackReader *q) {
        uint64_t vcpus, ram;
        int r;

        if (js_u64_value(js_get(q->in->flavor, "vcpus"), &vcpus) < 0 || vcpus == 0 || vcpus > UINT32_MAX)
                return error_set(q->reterr, -EINVAL, "the flavor's vcpus is not a number of vCPUs");
        if (js_u64_value(js_get(q->in->flavor, "ram"), &ram) < 0 || ram == 0 || ram > RAM_MAX)
                return error_set(q->reterr, -EINVAL, "the flavor's ram is not a size in MiB");
        r = strv_push(&q->line.argv, "-smp");
        if (r >= 0)
                r = strv_pushf(&q->line.argv, "%u", (unsigned) vcpus);
        if (r >= 0)
                r = strv_push(&q->line.argv, "-m");
        return r < 0 ? r : strv_pushf(&q->line.argv, "%uM", (unsigned) ram);
}

static int put_machine(OpenstackReader *q) {
        const ForeignGiven *g = &q->o->given;
        const char *type, *cpu;
        int r = openstack_text_at(q, q->properties, "hw_machine_type", &type);

        if (r >= 0 && type && strchr(type, ','))
                r = error_set(q->reterr, -EINVAL, "hw_machine_type=%s is not a machine type", type);
        if (r >= 0)
                r = openstack_cpu(q, &cpu);
        if (r >= 0 && strchr(cpu, ','))
                r = error_set(q->reterr, -EINVAL, "ATTESTATION:vcpu_model=%s is not a CPU model", cpu);
        if (r >= 0 && !g->firmware && !g->firmware_metadata)
                r = error_set(q->reterr, -EINVAL,
                                "the compute node chooses the firmware, which is measured: pass the file of that node (of its nova-compute container) with --ovmf=FILE");
        if (r >= 0)
                r = strv_push(&q->line.argv, "qemu-system-x86_64");
        if (r >= 0)
                r = strv_push(&q->line.argv, "-machine");
        if (r >= 0)
                r = strv_pushf(&q->line.argv, "%s,accel=kvm,smm=off,confidential-guest-support=lsec0",
                                type ?: "q35");
        if (r >= 0)
                r = push(q, "-cpu", cpu);
        if (r >= 0 && g->firmware)
                r = push(q, "-bios", g->firmware);
        if (r >= 0)
                r = strv_push(&q->line.argv, "-object");
        return r < 0 ? r
                     : strv_pushf(&q->line.argv, "%s,id=lsec0,cbitpos=51,reduced-phys-bits=1,policy=0x%x%s",
                                       q->model->object, q->model->policy,
                                       q->model->hashes && boots_kernel(q) ? ",kernel-hashes=on" : "");
}

/* ------------------------------------------------------------------------------------------------------------------------- */

void openstack_line_done(OpenstackLine *l) {
        strv_free(l->argv);
        strv_free(l->notices);
        *l = (OpenstackLine) {};
}

int openstack_line_read(
                const OpenstackInput *in, const ForeignOptions *o, OpenstackLine *ret, char **reterr) {
        static int (*const steps[])(OpenstackReader * q) = { openstack_check, put_machine, put_size,
                put_boot, openstack_check_stored };
        OpenstackReader q = { .in = in, .o = o, .reterr = reterr };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = steps[i](&q);
        if (r < 0) {
                openstack_line_done(&q.line);
                return r;
        }
        *ret = q.line;
        return 0;
}

static int read_json(const char *option, const char *path, Json **ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = foreign_read_text(option, path, TEXT_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = js_parse(text, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s: '%s'", option, path) : 0;
}

static int read_stored(char *const *paths, Json **ret, char **reterr) {
        _cleanup_js_ Json *list = NULL;

        if (!paths)
                return 0;
        list = js_array();
        if (!list)
                return -ENOMEM;
        STRV_FOREACH(path, (char **) paths) {
                Json *j = NULL;
                int r = read_json("glance", *path, &j, reterr);

                if (r >= 0)
                        r = js_append(list, j);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

int foreign_from_openstack(
                const ForeignOpenstack *files, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_js_ Json *image = NULL, *flavor = NULL, *server = NULL, *stored = NULL;
        _cleanup_(openstack_line_done) OpenstackLine line = {};
        OpenstackInput in;
        int r = read_json("from-openstack", files->image, &image, reterr);

        if (r >= 0)
                r = read_json("flavor", files->flavor, &flavor, reterr);
        if (r >= 0 && files->server)
                r = read_json("server", files->server, &server, reterr);
        if (r >= 0)
                r = read_stored(files->stored, &stored, reterr);
        if (r < 0)
                return r;
        in = (OpenstackInput) { image, flavor, server, stored };
        r = openstack_line_read(&in, o, &line, reterr);
        STRV_FOREACH(n, r >= 0 ? line.notices : NULL)
                if (r >= 0)
                        r = strv_push(&ret->notices, *n);
        if (r >= 0)
                r = foreign_from_argv(line.argv, NULL, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-openstack") : 0;
}
