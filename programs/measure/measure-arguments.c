/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-arguments.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "encode.h"
#include "error.h"
#include "measure-files.h"
#include "measure-launch.h"
#include "measure-numbers.h"
#include "measure-tdx.h"
#include "sev-cpu.h"
#include "strutil.h"

#define DEFAULT_FEATURES 0x1u

void measure_arguments_done(MeasureArguments *a) {
        /* Nothing but owned strings. */
        char **fields = (char **) a;

        for (size_t i = 0; i < sizeof(*a) / sizeof(char *); i++)
                free(fields[i]);
        *a = (MeasureArguments) {};
}
static_assert(sizeof(MeasureArguments) % sizeof(char *) == 0, "strings only");

/* --- who runs it ----------------------------------------------------------------------------------------------------- */

int measure_arguments_vmsa(const MeasureArguments *a, MeasureMode mode, VmmProfile *ret, char **reterr) {
        VmmProfile profile;

        if (!a->vmsa)
                return 0;
        profile = vmm_profile_from_string(a->vmsa);
        if (profile < 0)
                return error_set(reterr, -EINVAL, "--vmsa: unknown profile '%s'; expected %s", a->vmsa,
                                values_text(VMM_PROFILE_NAMES).text);
        if ((mode == MEASURE_SVSM) != vmm_row(profile)->svsm)
                return error_set(reterr, -EINVAL, "--vmsa=%s cannot be used with --mode=%s", a->vmsa,
                                measure_mode_to_string(mode));
        *ret = profile;
        return 0;
}

int measure_arguments_es_features(const MeasureArguments *a, uint64_t *ret, char **reterr) {
        if (a->es_features && parse_u64(a->es_features, ret) < 0)
                return error_set(reterr, -EINVAL, "--es-features: expected a number such as 0x20, not '%s'",
                                a->es_features);
        return 0;
}

/* The error names the option. */
static int open_input(
                MeasureRequest *r, const char *option, const char *path, PlanInput *in, char **reterr) {
        int k = measure_request_open(r, path, in, reterr);

        return k < 0 ? error_prefix(reterr, k, "--%s", option) : 0;
}

static int read_profile(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        bool svsm = r->mode == MEASURE_SVSM;
        VmmProfile profile = VMM_QEMU;

        if (a->vmm_type) {
                profile = vmm_profile_from_type(a->vmm_type);
                if (profile < 0)
                        return error_set(reterr, -EINVAL, "--vmm-type: unknown VMM '%s'; expected %s",
                                        a->vmm_type, values_text(VMM_TYPE_NAMES).text);
        }
        if (svsm && profile != VMM_QEMU)
                return error_set(reterr, -EINVAL, "--vmm-type=%s: mode snp:svsm is for QEMU only",
                                a->vmm_type);
        r->profile = svsm ? VMM_SVSM : profile;
        return measure_arguments_vmsa(a, r->mode, &r->profile, reterr);
}

static int family_model_stepping(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        unsigned family, model, stepping;
        const char *name;

        if (!a->vcpu_model || !a->vcpu_stepping)
                return error_set(reterr, -EINVAL, "--vcpu-family requires --vcpu-model and --vcpu-stepping");
        if (parse_unsigned(a->vcpu_family, &family) < 0 || parse_unsigned(a->vcpu_model, &model) < 0 ||
                        parse_unsigned(a->vcpu_stepping, &stepping) < 0)
                return error_set(reterr, -EINVAL,
                                "--vcpu-family, --vcpu-model, --vcpu-stepping: expected numbers");
        if (family > 15 + 255 || model > 255 || stepping > 15)
                return error_set(reterr, -ERANGE,
                                "family %u, model %u, stepping %u: at most 270, 255 and 15", family, model,
                                stepping);
        r->cpus = calloc(1, sizeof(MeasureCpu));
        if (!r->cpus)
                return -ENOMEM;
        r->n_cpus = 1;
        r->cpus[0].signature = sev_cpu_signature(family, model, stepping);
        name = sev_cpu_name(r->cpus[0].signature);
        r->cpus[0].name = name ? strdup(name) : NULL;
        return name && !r->cpus[0].name ? -ENOMEM : 0;
}

/* Family, signature, type: in this order, as sev-snp-measure has it. */
static int read_cpus(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        bool needed = measure_mode_has_vcpus(r->mode) && vmm_row(r->profile)->registers.rdx_is_signature;
        int k;

        if (needed && a->vcpu_family)
                return family_model_stepping(a, r, reterr);
        if (needed && a->vcpu_sig) {
                k = parse_cpu_signatures(a->vcpu_sig, &r->cpus, &r->n_cpus, reterr);
                return k < 0 ? error_prefix(reterr, k, "--vcpu-sig") : 0;
        }
        if (needed && a->vcpu_type) {
                k = parse_cpu_names(a->vcpu_type, &r->cpus, &r->n_cpus, reterr);
                return k < 0 ? error_prefix(reterr, k, "--vcpu-type") : 0;
        }
        if (needed)
                return error_set(reterr, -EINVAL,
                                "missing --vcpu-type or --vcpu-sig or --vcpu-family in guest mode '%s'",
                                measure_mode_to_string(r->mode));
        r->cpus = calloc(1, sizeof(MeasureCpu));
        r->n_cpus = 1;
        return r->cpus ? 0 : -ENOMEM;
}

static int read_vcpus(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        bool needed = measure_mode_has_vcpus(r->mode);
        int k;

        if (needed && !a->vcpus)
                return error_set(reterr, -EINVAL, "missing --vcpus N in guest mode '%s'",
                                measure_mode_to_string(r->mode));
        if (needed) {
                k = parse_vcpus(a->vcpus, &r->vcpus, &r->n_vcpus, reterr);
                return k < 0 ? error_prefix(reterr, k, "--vcpus") : 0;
        }
        r->vcpus = calloc(1, sizeof(unsigned));
        r->n_vcpus = 1;
        return r->vcpus ? 0 : -ENOMEM;
}

/* --- what is measured ------------------------------------------------------------------------------------------------ */

static int read_hash(const char *option, const char *text, size_t n, uint8_t *ret, bool *ret_given,
                char **reterr) {
        int r;

        if (!text)
                return 0;
        r = bytes_from_text(text, ret, n, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--%s", option);
        *ret_given = true;
        return 0;
}

static int read_hashes(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        const struct {
                const char *option, *text, *other, *file;
                uint8_t *to;
                bool *given;
        } hashes[] = {
                { "kernel-hash", a->kernel_hash, "kernel", a->kernel, r->given.kernel, &r->has_kernel_hash },
                { "initrd-hash", a->initrd_hash, "initrd", a->initrd, r->given.initrd, &r->has_initrd_hash },
                { "cmdline-hash", a->cmdline_hash, "append", a->append, r->given.cmdline,
                                &r->has_cmdline_hash },
        };
        int k;

        FOREACH_ARRAY(h, hashes, ELEMENTSOF(hashes)) {
                if (h->text && h->file)
                        return error_set(reterr, -EINVAL,
                                        "--%s and --%s exclude each other: use one of them", h->option,
                                        h->other);
                k = read_hash(h->option, h->text, SHA256_SIZE, h->to, h->given, reterr);
                if (k < 0)
                        return k;
        }
        if (a->ovmf_hash && r->mode != MEASURE_SNP)
                return error_set(reterr, -EINVAL, "--snp-ovmf-hash requires --mode=snp");
        return read_hash(
                        "snp-ovmf-hash", a->ovmf_hash, SHA384_SIZE, r->ovmf_hash, &r->has_ovmf_hash, reterr);
}

static int read_boot(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        bool kernel = (a->kernel && a->kernel[0]) || a->kernel_hash;
        int k = 0;

        /* Empty texts mean "not given" to sev-snp-measure, whose callers rely on it. */
        if (!kernel && ((a->initrd && a->initrd[0]) || a->initrd_hash))
                return error_set(reterr, -EINVAL, "--kernel required when using --initrd");
        if (!kernel && ((a->append && a->append[0]) || a->cmdline_hash))
                return error_set(reterr, -EINVAL, "--kernel required when using --append");
        if (a->kernel && a->kernel[0])
                k = open_input(r, "kernel", a->kernel, &r->plan.kernel, reterr);
        if (k >= 0 && a->initrd && a->initrd[0])
                k = open_input(r, "initrd", a->initrd, &r->plan.initrd, reterr);
        if (k >= 0 && a->append)
                k = measure_request_bytes(r, "command line", a->append, strlen(a->append), &r->plan.cmdline);
        if (k >= 0)
                k = read_hashes(a, r, reterr);
        r->plan.sev.kernel_hashes = kernel && !launch_is_whole(r->plan.mode);
        return k;
}

static int read_svsm(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        struct stat st;

        if (!a->svsm)
                return error_set(reterr, -EINVAL, "missing --svsm PATH in guest mode 'snp:svsm'");
        if (a->vars_file && a->vars_size)
                return error_set(reterr, -EINVAL,
                                "--vars-size and --vars-file exclude each other: use one of them");
        if (a->kernel || a->kernel_hash)
                return error_set(reterr, -EINVAL, "--kernel: mode snp:svsm does not measure a kernel");
        if (a->vars_file) {
                if (stat(a->vars_file, &st) < 0)
                        return error_set(reterr, -errno, "--vars-file: cannot open '%s': %s", a->vars_file,
                                        strerror(errno));
                r->vars_size = (uint64_t) st.st_size;
        } else if (!a->vars_size)
                return error_set(reterr, -EINVAL, "snp:svsm mode requires --vars-size or --vars-file");
        else if (parse_u64(a->vars_size, &r->vars_size) < 0 || r->vars_size > UINT32_MAX)
                return error_set(reterr, -EINVAL, "--vars-size: expected a number of bytes, not '%s'",
                                a->vars_size);
        return open_input(r, "svsm", a->svsm, &r->svsm, reterr);
}

static int read_firmware(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        if (a->ovmf_metadata && r->mode != MEASURE_SNP)
                return error_set(reterr, -EINVAL,
                                "--ovmf-metadata requires --mode=snp: other modes need the file");
        if (a->ovmf && a->ovmf_metadata)
                return error_set(reterr, -EINVAL,
                                "--ovmf and --ovmf-metadata exclude each other: use one of them");
        if (!a->ovmf && !a->ovmf_metadata)
                return error_set(reterr, -EINVAL, "missing --ovmf PATH, the firmware");
        if (a->ovmf) {
                int k = open_input(r, "ovmf", a->ovmf, &r->plan.firmware, reterr);

                if (k == 0 && plan_input_size(&r->plan.firmware) == 0)
                        k = error_set(reterr, -EINVAL, "--ovmf: '%s' is empty, expected a firmware image",
                                        a->ovmf);
                return k;
        }
        r->ovmf_metadata = strdup(a->ovmf_metadata);
        return r->ovmf_metadata ? 0 : -ENOMEM;
}

/* TDX: what the technology does not measure. */
static int read_tdx(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        const struct {
                const char *option, *value;
        } foreign[] = {
                { "vmm-type", a->vmm_type },
                { "vmsa", a->vmsa },
                { "vcpus", a->vcpus },
                { "vcpu-type", a->vcpu_type },
                { "vcpu-sig", a->vcpu_sig },
                { "vcpu-family", a->vcpu_family },
                { "guest-features", a->guest_features },
                { "es-features", a->es_features },
                { "kernel-hash", a->kernel_hash },
                { "initrd-hash", a->initrd_hash },
                { "cmdline-hash", a->cmdline_hash },
                { "ovmf-hash", a->ovmf_hash },
        };

        FOREACH_ARRAY(f, foreign, ELEMENTSOF(foreign))
                if (f->value)
                        return error_set(reterr, -EINVAL,
                                        "--%s has no meaning with --mode=tdx: no register depends on it directly",
                                        f->option);
        if ((a->kernel || a->disk || a->edk2 || a->fw_cfg || a->bios) && !a->memory)
                return error_set(reterr, -EINVAL,
                                "MRTD covers the firmware alone; to predict RTMR0 to RTMR2 of a direct boot, pass --memory=SIZE, too");
        if (a->disk && (a->kernel || a->append))
                return error_set(reterr, -EINVAL,
                                "--disk and --kernel, --append exclude each other: the firmware boots the disk, or QEMU a kernel");
        if (a->page_order && tdx_page_order_from_string(a->page_order, &r->plan.tdx.two_pass) < 0)
                return error_set(reterr, -EINVAL, "--page-order: expected %s, not '%s'",
                                values_text(TDX_PAGE_ORDERS).text, a->page_order);
        return 0;
}

int measure_arguments_read(
                const MeasureArguments *a, RequestFiles *files, MeasureRequest *ret, char **reterr) {
        _cleanup_(measure_request_done) MeasureRequest r = { .features = DEFAULT_FEATURES, .files = files };
        int k;

        if (!a->mode)
                return error_set(reterr, -EINVAL,
                                "missing --mode: sev, seves, snp, snp:ovmf-hash, snp:svsm or tdx; see --help");
        r.mode = measure_mode_from_string(a->mode);
        if (r.mode < 0)
                return error_set(reterr, -EINVAL,
                                "--mode: unknown mode '%s': expected sev, seves, snp, snp:ovmf-hash, snp:svsm or tdx",
                                a->mode);
        r.plan.mode = measure_mode_coco(r.mode);
        if (a->guest_features && parse_u64(a->guest_features, &r.features) < 0)
                return error_set(reterr, -EINVAL,
                                "--guest-features: expected a number such as 0x21, not '%s'",
                                a->guest_features);
        if ((a->page_order || a->memory || a->edk2 || a->fw_cfg || a->bios || a->disk) &&
                        !launch_is_whole(r.plan.mode))
                return error_set(reterr, -EINVAL,
                                "--page-order, --memory, --edk2, --fw-cfg, --bios and --disk require --mode=tdx");
        k = measure_arguments_es_features(a, &r.es_features, reterr);
        if (k >= 0 && launch_is_whole(r.plan.mode))
                k = read_tdx(a, &r, reterr);
        if (k >= 0)
                k = read_profile(a, &r, reterr);
        if (k >= 0)
                k = read_firmware(a, &r, reterr);
        if (k >= 0 && r.mode != MEASURE_OVMF_HASH)
                k = read_boot(a, &r, reterr);
        if (k >= 0)
                k = read_vcpus(a, &r, reterr);
        if (k >= 0)
                k = read_cpus(a, &r, reterr);
        if (k >= 0 && r.mode == MEASURE_SVSM)
                k = read_svsm(a, &r, reterr);
        if (k < 0)
                return k;
        if (r.n_vcpus * r.n_cpus > MEASURE_ROWS_MAX)
                return error_set(reterr, -E2BIG, "more than %u rows", MEASURE_ROWS_MAX);
        *ret = TAKE_STRUCT(r, (MeasureRequest) {});
        return 0;
}
