/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the launcher's own inputs to ExportGuest: paths that others can open, and files for what has no path. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic-file.h"
#include "error.h"
#include "export-cli.h"
#include "fd.h"
#include "strutil.h"

#define MIB (UINT64_C(1) << 20)
/* Kernels have some ten MiB, initrds some hundred; QEMU has 2 GiB for both. */
#define FILE_MAX_SIZE (UINT64_C(2) << 30)
#define TEXT_SIZE_MAX (64u * 1024u)

void export_launch_done(ExportLaunch *l) {
        STRV_FOREACH(w, l->keep ? NULL : l->written)
                (void) unlink(*w);
        strv_free(l->written);
        free(l->name);
        free(l->firmware);
        free(l->kernel);
        free(l->initrd);
        free(l->cmdline);
        free(l->dh_cert);
        free(l->session);
        free(l->kernel_sha512);
        free(l->initrd_sha512);
        strv_free(l->paths);
        free(l->disks);
        *l = (ExportLaunch) {};
}

/* --- files --------------------------------------------------------------------------------------------------------------- */

static int absolute(const char *option, const char *path, char **ret, char **reterr) {
        *ret = realpath(path, NULL);
        return *ret ? 0 : error_set(reterr, -errno, "--%s: cannot find '%s': %m", option, path);
}

static bool whole_file(const PlanInput *in, const char *path) {
        uint64_t size;
        int fd;

        if (in->n_parts != 1 || in->parts->offset != 0 || startswith(path, "/proc/self/fd/"))
                return false;
        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return false;
        (void) fd_close(fd);
        return size == in->parts->length;
}

static int collect(const PlanInput *in, uint64_t size, char **ret) {
        _cleanup_free_ char *data = malloc(size + 1);
        uint64_t at = 0;
        int r = data ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < in->n_parts; i++) {
                const PlanPart *p = in->parts + i;

                if (p->fd < 0)
                        memset(data + at, 0, p->length);
                else
                        r = fd_pread_exact(p->fd, data + at, p->length, p->offset);
                at += p->length;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(data);
        return 0;
}

/* An input that has no file. */
static int write_input(const char *name, const PlanInput *in, const char *folder, ExportLaunch *l,
                char **ret, char **reterr) {
        _cleanup_free_ char *data = NULL, *path = NULL;
        uint64_t size = plan_input_size(in);
        int r;

        if (!folder)
                return error_set(reterr, -EINVAL,
                                "the %s of this launch is not a file, but is put together from several parts: pass --output=DIR to write it there",
                                name);
        if (size > FILE_MAX_SIZE)
                return error_set(reterr, -EFBIG, "the %s has %" PRIu64 " bytes, which QEMU does not load",
                                name, size);
        r = collect(in, size, &data);
        if (r < 0)
                return error_set(reterr, r, "cannot read the %s: %s", name, strerror(-r));
        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_write_atomic(path, data, size, 0644, 0);
        if (r == -EEXIST)
                return error_set(reterr, r,
                                "--output: '%s' exists and is not replaced: remove it, or name another directory",
                                path);
        if (r < 0)
                return error_set(reterr, r, "--output: cannot write '%s': %s", path, strerror(-r));
        r = strv_push(&l->written, path);
        if (r < 0) {
                (void) unlink(path);
                return r;
        }
        return absolute("output", path, ret, reterr);
}

typedef struct Source {
        const char *option, *name, *path; /* path: of the one file that the input may be; NULL: none */
        const PlanInput *input;
} Source;

static int take_input(const Source *s, const char *folder, ExportLaunch *l, char **ret, char **reterr) {
        if (!s->input->present)
                return 0;
        return s->path && whole_file(s->input, s->path)
                        ? absolute(s->option, s->path, ret, reterr)
                        : write_input(s->name, s->input, folder, l, ret, reterr);
}

static int take_files(const VmConfig *c, const LaunchInputs *in, const char *folder, ExportLaunch *l,
                char **reterr) {
        const LaunchPlan *p = &in->plan;
        const Source firmware = { "firmware", "firmware.fd", in->firmware, &p->firmware };
        const Source kernel = { "linux", "kernel", c->linux_path, &p->kernel };
        const Source initrd = { "initrd", "initrd", c->initrds && !c->initrds[1] ? c->initrds[0] : NULL,
                &p->initrd };
        int r = take_input(&firmware, folder, l, &l->firmware, reterr);

        if (r >= 0)
                r = take_input(&kernel, folder, l, &l->kernel, reterr);
        if (r >= 0)
                r = take_input(&initrd, folder, l, &l->initrd, reterr);
        return r;
}

/* --- texts --------------------------------------------------------------------------------------------------------------- */

static int take_cmdline(const LaunchPlan *p, ExportLaunch *l, char **reterr) {
        size_t size = plan_input_size(&p->cmdline);
        int r;

        if (!p->cmdline.present || !p->kernel.present)
                return 0;
        r = size < TEXT_SIZE_MAX ? collect(&p->cmdline, size, &l->cmdline) : -E2BIG;
        if (r < 0)
                return error_set(reterr, r, "cannot read the kernel command line: %s", strerror(-r));
        l->cmdline[size] = 0;
        return 0;
}

/* The guest owner's files are base64 text by now. */
static int take_text(const char *path, char **ret, char **reterr) {
        size_t size;
        int r = path ? file_read_all(path, TEXT_SIZE_MAX, ret, &size) : 0;

        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        if (*ret)
                (*ret)[strcspn(*ret, "\n")] = 0;
        return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------------- */

static int take_disk(ExportLaunch *l, const char *option, const DriveSource *d, char **reterr) {
        const DiskTypeFacts *facts = disk_type_facts(d->type);
        size_t i = l->guest.n_disks;
        char *real;
        int r = absolute(option, d->path, &real, reterr);

        if (r >= 0)
                r = strv_consume(&l->paths, real);
        if (r < 0)
                return r;
        l->disks[i] = (ExportDisk) {
                .path = l->paths[i],
                .format = image_format_to_string(MAX(d->format, IMAGE_FORMAT_RAW)),
                .type = facts->name,
                .read_only = facts->read_only,
        };
        l->guest.n_disks++;
        return 0;
}

static int take_disks(const VmConfig *c, const LaunchInputs *in, ExportLaunch *l, char **reterr) {
        const DriveSource image = { c->image, in->image_format, c->image_disk_type };
        int r;

        l->disks = calloc(c->n_extra_drives + 1, sizeof(ExportDisk));
        if (!l->disks)
                return -ENOMEM;
        r = c->image ? take_disk(l, "image", &image, reterr) : 0;
        for (size_t i = 0; r >= 0 && i < c->n_extra_drives; i++) {
                if (c->extra_drives[i].volume)
                        return error_set(reterr, -EINVAL,
                                        "--bind-volume= cannot be exported: storage providers are systemd's; name the file or device with --extra-drive=");
                const DriveSource d = { c->extra_drives[i].path, c->extra_drives[i].format,
                        vm_config_drive_type(c, i) };

                r = take_disk(l, "extra-drive", &d, reterr);
        }
        return r;
}

static int take_network(const VmConfig *c, ExportLaunch *l, char **reterr) {
        if (c->network != NETWORK_NONE && c->network != NETWORK_USER)
                return error_set(reterr, -EINVAL,
                                "--network=%s cannot be exported: the network belongs to the other launcher; use --network=user or none",
                                network_mode_to_string(c->network));
        l->guest.network = c->network == NETWORK_USER;
        return 0;
}

/* ------------------------------------------------------------------------------------------------------------------------- */

int export_launch_read(const VmConfig *config, const LaunchInputs *inputs, const char *folder,
                ExportLaunch *ret, char **reterr) {
        const LaunchPlan *p = &inputs->plan;
        _cleanup_(export_launch_done) ExportLaunch l = {};
        int r;

        l.name = strdup(config->machine ?: "cvm");
        r = l.name ? take_network(config, &l, reterr) : -ENOMEM;
        if (r >= 0)
                r = take_disks(config, inputs, &l, reterr);
        if (r >= 0)
                r = take_cmdline(p, &l, reterr);
        if (r >= 0)
                r = take_text(inputs->dh_cert, &l.dh_cert, reterr);
        if (r >= 0)
                r = take_text(inputs->session, &l.session, reterr);
        /* Last: what failed before has written nothing. */
        if (r >= 0)
                r = take_files(config, inputs, folder, &l, reterr);
        if (r < 0)
                return r;
        l.guest = (ExportGuest) {
                .name = l.name,
                .uuid = config->uuid,
                .mode = p->mode,
                .vcpus = p->vcpus,
                .ram = (config->ram + MIB - 1) / MIB * MIB,
                .cpu_model = p->cpu_model,
                .policy = p->policy,
                .legacy_vm_type = p->sev.legacy_vm_type,
                .kernel_hashes = p->sev.kernel_hashes,
                .firmware = l.firmware,
                .kernel = l.kernel,
                .initrd = l.initrd,
                .cmdline = l.cmdline,
                .host_data = inputs->host_data,
                .id_block = inputs->id_block,
                .id_auth = inputs->id_auth,
                .author_key = inputs->author_key,
                .vcek = config->vcek,
                .dh_cert = l.dh_cert,
                .session = l.session,
                .mrconfigid = inputs->mrconfigid,
                .mrowner = inputs->mrowner,
                .mrownerconfig = inputs->mrownerconfig,
                .quote_socket = config->quote_socket,
                .disks = l.disks,
                .n_disks = l.guest.n_disks,
                .network = l.guest.network,
                .virtio_console = config->console_transport == CONSOLE_VIRTIO,
        };
        *ret = TAKE_STRUCT(l, (ExportLaunch) {});
        return 0;
}
