/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which firmware a launch takes. Confidential: one raw image that the descriptors call fit for the mode, handed over by -bios.
 * Otherwise: a UEFI build with a variable template by pflash, or SeaBIOS. A descriptor names
 * further files, so that only the name that the user typed makes a file one: it ends in .json, everything else is an image. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"
#include "fd.h"
#include "firmware-descriptor.h"
#include "firmware-ovmf.h"
#include "resolve-parts.h"
#include "sev-firmware.h"
#include "strutil.h"

#define IMAGE_SIZE_MAX  (UINT64_C(64) << 20) /* real images have 2 to 16 MiB; QEMU takes 8 by default */
#define IMAGE_SIZE_STEP (UINT64_C(64) << 10) /* QEMU's hw/i386/x86-common.c refuses others for -bios */

static unsigned coco_needs(const VmConfig *config, const ResolveOptions *options) {
        const Coco *coco = coco_of(config->coco);
        bool kernel = config->linux_path || options->with_kernel || coco->kernel_required;

        return coco->firmware_needs | (kernel ? coco->kernel_needs : 0);
}

/* Reads the image's own tables: is it a build that this launch can use, and where does the table of hashes go? */
static int inspect_image(const VmConfig *config, const ResolveOptions *options, const char *path, int fd,
                uint64_t size, LaunchInputs *in, char **reterr) {
        const unsigned needs = coco_needs(config, options);
        OvmfInfo info;
        void *p;
        int r;

        if (size == 0 || size > IMAGE_SIZE_MAX || size % IMAGE_SIZE_STEP != 0)
                return error_set(reterr, -EBADMSG,
                                "--firmware: '%s' is %llu bytes; a -bios image must be a multiple of 64 KiB and at most 64 MiB",
                                path, (unsigned long long) size);
        p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return error_set(reterr, -errno, "--firmware: cannot read '%s': %m", path);

        r = (needs & OVMF_NEED_TDX_METADATA ? ovmf_parse_table : ovmf_parse)(p, size, &info, reterr);
        if (r >= 0)
                r = ovmf_require(&info, needs, reterr);
        if (r >= 0 && needs & OVMF_NEED_TDX_METADATA)
                r = resolve_tdvf(path, p, size, info.tdx_distance, in, reterr);
        if (r >= 0 && needs & OVMF_NEED_TDX_METADATA && config->simulate)
                r = resolve_memory_list(config, p, size, info.tdx_distance, in, reterr);
        (void) munmap(p, size);
        if (r < 0)
                return error_prefix(reterr, r, "--firmware: '%s'", path);
        if (!(needs & OVMF_NEED_TDX_METADATA))
                in->table_gpa = info.hash_table.base;
        in->secret_area = info.secret.present && info.secret.base != 0 ? info.secret.size : 0;
        return 0;
}

/* An image for -bios. */
static int take_image(const VmConfig *config, const ResolveOptions *options, const char *path,
                LaunchInputs *in, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        fd = resolve_open("firmware", path, &size, reterr);
        if (fd < 0)
                return fd;
        in->firmware_kind = FIRMWARE_KIND_ROM;
        if (vm_config_confidential(config)) {
                r = inspect_image(config, options, path, fd, size, in, reterr);
                if (r < 0)
                        return r;
        }
        if (options->for_launch && vm_config_sealed(config))
                r = resolve_copy_later(in,
                                (LaunchCopy) { .to = LAUNCH_FD_FIRMWARE,
                                                .from = TAKE_FD(fd),
                                                .name = resolve_copy_name("firmware", path),
                                                .size = size,
                                                .whole = true },
                                &in->firmware, reterr);
        else
                r = resolve_pass_on(config, "firmware", path, TAKE_FD(fd), size, LAUNCH_FD_FIRMWARE, in,
                                &in->firmware, reterr);
        if (r < 0)
                return r;
        return plan_input_add(&in->plan.firmware, path, LAUNCH_FD_FIRMWARE, 0, size);
}

int resolve_firmware_recheck(const VmConfig *config, const LaunchInputs *in, char **reterr) {
        const ResolveOptions options = {};
        const PlanPart *part = in->plan.firmware.parts;
        LaunchInputs now = {};
        int r;

        r = inspect_image(config, &options, part->label, LAUNCH_FD_FIRMWARE, part->length, &now, reterr);
        if (r < 0)
                return r;
        return now.table_gpa == in->table_gpa && now.secret_area == in->secret_area
                        ? 0
                        : error_set(reterr, -ESTALE, "--firmware: '%s' changed while it was read",
                                          part->label);
}

/* A split build: code as it is, variables in a file of state or in a copy that ends with the guest. */
static int take_flash(const VmConfig *config, const FirmwareDescriptor *d, LaunchInputs *in, char **reterr) {
        _cleanup_close_ int code = resolve_open("firmware", d->executable, NULL, reterr);
        int r;

        if (code < 0)
                return code;
        in->firmware_kind = FIRMWARE_KIND_PFLASH;
        in->firmware_smm = strv_contains(d->features, "requires-smm");
        in->firmware = strdup(d->executable);
        if (!in->firmware)
                return -ENOMEM;
        r = launch_inputs_keep_fd(in, TAKE_FD(code), LAUNCH_FD_FIRMWARE);
        return r < 0 ? r : resolve_nvram(config, d->nvram_template, in, reterr);
}

static int take_descriptor(const VmConfig *config, const ResolveOptions *options,
                const FirmwareDescriptor *d, LaunchInputs *in, char **reterr) {
        in->firmware_descriptor = strdup(d->path);
        if (!in->firmware_descriptor)
                return -ENOMEM;
        if (vm_config_confidential(config) || d->mapping == FIRMWARE_MEMORY)
                return take_image(config, options, d->executable, in, reterr);
        return take_flash(config, d, in, reterr);
}

typedef struct Query {
        FirmwareQuery query;
        char **include, **exclude; /* owned */
} Query;

static void query_done(Query *q) {
        strv_free(q->include);
        strv_free(q->exclude);
}

static int add_feature(char ***list, const char *feature, bool wanted, int r) {
        return r < 0 || !wanted ? r : strv_push(list, feature);
}

/* Firmware with other people's keys is taken on request only. */
static int fill_query(const VmConfig *config, bool named, Query *ret) {
        const char *technology = coco_of(config->coco)->firmware_feature;
        const bool coco = vm_config_confidential(config);
        int r = add_feature(&ret->include, technology, technology, 0);

        r = add_feature(&ret->include, "secure-boot", config->secure_boot == TRISTATE_YES, r);
        r = add_feature(&ret->exclude, "secure-boot", config->secure_boot == TRISTATE_NO, r);
        r = add_feature(&ret->exclude, "enrolled-keys",
                        !named && !config->any_firmware_features &&
                                        !(coco && config->secure_boot == TRISTATE_YES),
                        r);
        STRV_FOREACH(f, config->firmware_include)
                r = add_feature(&ret->include, *f, true, r);
        STRV_FOREACH(f, config->firmware_exclude)
                r = add_feature(&ret->exclude, *f, true, r);
        ret->query = (FirmwareQuery) {
                .architecture = "x86_64",
                .machine = "q35",
                .stateless = coco,
                .nvram_template = !coco,
                .raw = true,
                .include = ret->include,
                .exclude = ret->exclude,
        };
        return r;
}

static int choose(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        _cleanup_(firmware_list_done) FirmwareList list = {};
        _cleanup_strv_free_ char **directories = NULL;
        _cleanup_(query_done) Query q = {};
        const FirmwareDescriptor *d;
        int r;

        if (!options->firmware_dirs) {
                r = firmware_directories(getenv, &directories);
                if (r < 0)
                        return r;
        }
        r = firmware_list_load(options->firmware_dirs ?: directories, &list, reterr);
        if (r < 0)
                return r;
        r = fill_query(config, /* named= */ false, &q);
        if (r >= 0)
                r = firmware_choose(&list, &q.query, &d, reterr);
        if (r < 0 && resolve_tdvf_with_keys(config, &list)) {
                if (reterr) {
                        free(*reterr);
                        *reterr = NULL;
                }
                return error_set(reterr, r,
                                "--coco=%s: the firmware that is installed has Secure Boot keys and boots signed kernels only: add --secure-boot=yes to take it, or name an image without keys with --firmware=",
                                coco_mode_to_string(config->coco));
        }
        if (r < 0)
                return r;
        return take_descriptor(config, options, d, in, reterr);
}

static bool is_descriptor(const char *path) {
        size_t n = strlen(path), k = strlen(".json");

        return n > k && streq(path + n - k, ".json");
}

/* An image of a stranger could be a descriptor, and name files that the guest then reads. */
static int check_image(const char *path, char **reterr) {
        _cleanup_close_ int fd = resolve_open("firmware", path, NULL, reterr);
        char c;

        if (fd < 0)
                return fd;
        if (fd_read_exact(fd, &c, 1) >= 0 && c == '{')
                return error_set(reterr, -EBADMSG,
                                "--firmware: '%s' begins like a firmware descriptor, which names other files; if you mean that, its name must end in .json",
                                path);
        return 0;
}

/* One image has its variables inside, or none, and does not say what it can do. */
static int check_unflashed(const VmConfig *config, char **reterr) {
        const char *state = config->efi_nvram_state;

        if (config->secure_boot != TRISTATE_YES && !config->firmware_include && !config->firmware_exclude &&
                        !config->efi_nvram_template && (!state || streq(state, "off")))
                return 0;
        if (coco_of(config->coco)->event_log && config->secure_boot == TRISTATE_YES)
                return error_set(reterr, -EINVAL,
                                "--secure-boot=yes needs a firmware descriptor (.json), but '%s' is an image: remove the option; firmware for --coco=%s has its keys in the image, and checks signatures if there are any",
                                config->firmware_path, coco_mode_to_string(config->coco));
        return error_set(reterr, -EINVAL,
                        "--secure-boot=, --firmware-features= and --efi-nvram-...= need a firmware descriptor (.json), which names code and variables: '%s' is an image",
                        config->firmware_path);
}

static int take_named(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        _cleanup_(firmware_descriptor_done) FirmwareDescriptor d = {};
        _cleanup_(query_done) Query q = {};
        int r;

        if (!is_descriptor(config->firmware_path)) {
                r = check_unflashed(config, reterr);
                if (r >= 0)
                        r = check_image(config->firmware_path, reterr);
                return r < 0 ? r : take_image(config, options, config->firmware_path, in, reterr);
        }

        r = firmware_descriptor_load(config->firmware_path, &d, reterr);
        if (r < 0)
                return r;
        r = fill_query(config, /* named= */ true, &q);
        if (r >= 0)
                r = firmware_descriptor_match(&d, &q.query, reterr);
        if (r < 0 && vm_config_confidential(config) && reterr && *reterr) {
                _cleanup_free_ char *why = TAKE_PTR(*reterr);

                return error_set(reterr, r,
                                "--firmware: '%s' is not suitable: %s; --coco= needs one raw image without variables: " GET_FIRMWARE,
                                config->firmware_path, why);
        }
        if (r < 0)
                return error_prefix(reterr, r, "--firmware: '%s' is not suitable", config->firmware_path);
        return take_descriptor(config, options, &d, in, reterr);
}

int resolve_firmware(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        switch (config->firmware) {
        case FIRMWARE_PATH:
                return take_named(config, options, in, reterr);
        case FIRMWARE_BIOS:
        case FIRMWARE_NONE:
                return 0;
        case FIRMWARE_AUTO:
                /* A kernel that is booted directly needs no UEFI, and starts seconds earlier without it. */
                if (!vm_config_confidential(config) && config->linux_path)
                        return 0;
                return choose(config, options, in, reterr);
        default:
                return choose(config, options, in, reterr);
        }
}

int resolve_firmware_remedy(char **ret) {
        _cleanup_free_ char *path = NULL;
        int r = firmware_fetched(getenv, &path);

        *ret = NULL;
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (asprintf(ret, "use --firmware=%s (fetched)", path) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int resolve_firmware_alone(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        return choose(config, options, in, reterr);
}

int resolve_firmware_for(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        ResolveOptions with_kernel = *options;

        with_kernel.with_kernel = true;
        return resolve_firmware(config, &with_kernel, in, reterr);
}
