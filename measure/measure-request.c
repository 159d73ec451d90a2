/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "measure-numbers.h"
#include "sev-cpu.h"
#include "strutil.h"

#define DEFAULT_FEATURES 0x1u
/* The kernel's decompressor takes what follows as a next block's size, unless that is zero. */
#define LZ4_LEGACY_MAGIC 0x184c2102u
/* What is read from a pipe stays in memory. */
#define STREAM_SIZE_MAX (1024u * 1024u * 1024u)

static const char *const mode_names[] = {
        [MEASURE_SEV] = "sev",
        [MEASURE_SEV_ES] = "seves",
        [MEASURE_SNP] = "snp",
        [MEASURE_OVMF_HASH] = "snp:ovmf-hash",
        [MEASURE_SVSM] = "snp:svsm",
};
static_assert(ELEMENTSOF(mode_names) == _MEASURE_MODE_MAX, "every mode has a name");

const char *measure_mode_to_string(MeasureMode m) {
        return m >= 0 && m < _MEASURE_MODE_MAX ? mode_names[m] : NULL;
}

/* The launcher's names are taken, too. */
static MeasureMode mode_from_string(const char *s) {
        for (int i = 0; i < _MEASURE_MODE_MAX; i++)
                if (streq(s, mode_names[i]))
                        return (MeasureMode) i;
        return streq(s, "sev-es")             ? MEASURE_SEV_ES
                        : streq(s, "sev-snp") ? MEASURE_SNP
                                              : _MEASURE_MODE_INVALID;
}

SevMode measure_mode_sev(MeasureMode m) {
        return m == MEASURE_SEV ? SEV_MODE_SEV : m == MEASURE_SEV_ES ? SEV_MODE_SEV_ES : SEV_MODE_SEV_SNP;
}

void measure_arguments_done(MeasureArguments *a) {
        /* Nothing but owned strings. */
        char **fields = (char **) a;

        for (size_t i = 0; i < sizeof(*a) / sizeof(char *); i++)
                free(fields[i]);
        *a = (MeasureArguments) {};
}
static_assert(sizeof(MeasureArguments) % sizeof(char *) == 0, "strings only");

void measure_request_done(MeasureRequest *r) {
        FOREACH_ARRAY(fd, r->fds, r->n_fds)
                (void) fd_close(*fd);
        free(r->fds);
        free(r->vcpus);
        measure_cpus_free(r->cpus, r->n_cpus);
        launch_plan_done(&r->plan);
        plan_input_done(&r->svsm);
        free(r->ovmf_metadata);
        *r = (MeasureRequest) {};
}

static int keep_fd(MeasureRequest *r, int fd) {
        int *fds = reallocarray(r->fds, r->n_fds + 1, sizeof(int));

        if (!fds) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        r->fds = fds;
        fds[r->n_fds++] = fd;
        return 0;
}

/* A pipe or /dev/null has no size to plan with: its bytes become a file in memory. */
static int copy_stream(const char *path, uint64_t *ret_size) {
        _cleanup_close_ int in = fd_open(path, O_RDONLY | O_NOCTTY, 0), out = memfd_new("stream");
        uint64_t size = 0;
        char buffer[16384];

        if (in < 0 || out < 0)
                return in < 0 ? in : out;
        for (;;) {
                ssize_t n = read(in, buffer, sizeof(buffer));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (uint64_t) n;
                if (size > STREAM_SIZE_MAX)
                        return -EFBIG;
                r = fd_write_all(out, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
        *ret_size = size;
        return TAKE_FD(out);
}

static int open_file(const char *path, uint64_t *ret_size) {
        int fd = fd_open_regular(path, ret_size);

        return fd == -EINVAL ? copy_stream(path, ret_size) : fd;
}

void request_files_done(RequestFiles *f) {
        FOREACH_ARRAY(i, f->items, f->n_items) {
                free(i->path);
                (void) fd_close(i->fd);
        }
        free(f->items);
        f->scratch = fd_close(f->scratch);
        *f = REQUEST_FILES_NONE;
}

static int shared_file(RequestFiles *f, const char *path, uint64_t *ret_size) {
        struct RequestFile *items, file = {};

        FOREACH_ARRAY(i, f->items, f->n_items)
                if (streq(i->path, path)) {
                        *ret_size = i->size;
                        return i->fd;
                }
        items = reallocarray(f->items, f->n_items + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        f->items = items;
        file.path = strdup(path);
        if (!file.path)
                return -ENOMEM;
        file.fd = open_file(path, &file.size);
        if (file.fd < 0) {
                free(file.path);
                return file.fd;
        }
        items[f->n_items++] = file;
        *ret_size = file.size;
        return file.fd;
}

int measure_request_open(
                MeasureRequest *r, const char *option, const char *path, PlanInput *in, char **reterr) {
        uint64_t size = 0;
        int fd = r->files ? shared_file(r->files, path, &size) : open_file(path, &size);

        if (fd < 0)
                return error_set(reterr, fd, "--%s: cannot open '%s': %s", option, path, strerror(-fd));
        if (!r->files) {
                int k = keep_fd(r, fd);

                if (k < 0)
                        return k;
        }
        return plan_input_add(in, path, fd, 0, size);
}

static int shared_bytes(RequestFiles *f, const char *label, const void *p, size_t n, PlanInput *in) {
        uint64_t at = f->scratch_end;

        if (f->scratch < 0) {
                f->scratch = memfd_new("batch");
                if (f->scratch < 0)
                        return f->scratch;
        }
        for (size_t done = 0; done < n;) {
                ssize_t k = pwrite(f->scratch, (const char *) p + done, n - done, (off_t) (at + done));

                if (k < 0 && errno != EINTR)
                        return -errno;
                done += k > 0 ? (size_t) k : 0;
        }
        f->scratch_end += n;
        return plan_input_add(in, label, f->scratch, at, n);
}

int measure_request_bytes(MeasureRequest *r, const char *label, const void *p, size_t n, PlanInput *in) {
        int fd, k;

        if (r->files)
                return shared_bytes(r->files, label, p, n, in);
        fd = memfd_new(label);
        if (fd < 0)
                return fd;
        k = keep_fd(r, fd);
        if (k < 0)
                return k;
        k = fd_write_all(fd, p, n);
        return k < 0 ? k : plan_input_add(in, label, fd, 0, n);
}

int measure_request_pad(PlanInput *in) {
        const PlanPart *last = in->n_parts > 0 ? in->parts + in->n_parts - 1 : NULL;
        uint64_t size = plan_input_size(in), pad;
        uint8_t magic[4];

        if (!last)
                return 0;
        pad = size % 4 == 0 ? 0 : 4 - size % 4;
        if (last->length >= 4 && fd_pread_exact(last->fd, magic, 4, last->offset) >= 0 &&
                        le32_read(magic) == LZ4_LEGACY_MAGIC)
                pad += 4;
        return pad > 0 ? plan_input_add(in, "padding", -EBADF, 0, pad) : 0;
}

/* --- who runs it ----------------------------------------------------------------------------------------------------- */

static int read_flavour(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        static const struct {
                const char *name;
                VmsaFlavour flavour;
        } vmms[] = {
                { "QEMU", VMSA_QEMU },
                { "qemu", VMSA_QEMU },
                { "ec2", VMSA_EC2 },
                { "gce", VMSA_GCE },
                { "krun", VMSA_KRUN },
        };
        bool svsm = r->mode == MEASURE_SVSM, found = false;

        r->flavour = svsm ? VMSA_SVSM : VMSA_QEMU;
        FOREACH_ARRAY(v, vmms, a->vmm_type ? ELEMENTSOF(vmms) : 0)
                if (streq(a->vmm_type, v->name)) {
                        found = true;
                        if (!svsm)
                                r->flavour = v->flavour;
                        else if (v->flavour != VMSA_QEMU)
                                return error_set(reterr, -EINVAL,
                                                "--vmm-type=%s: mode snp:svsm is for QEMU only",
                                                a->vmm_type);
                }
        if (a->vmm_type && !found)
                return error_set(reterr, -EINVAL, "--vmm-type: '%s' is not known: QEMU, ec2, gce or krun",
                                a->vmm_type);
        if (!a->vmsa)
                return 0;

        r->flavour = vmsa_flavour_from_string(a->vmsa);
        if (r->flavour < 0)
                return error_set(reterr, -EINVAL,
                                "--vmsa: '%s' is not known: qemu, qemu-pre-6.10, ec2, ec2-2023, gce, krun, "
                                "svsm or svsm-pre-6.10",
                                a->vmsa);
        if (svsm != (r->flavour == VMSA_SVSM || r->flavour == VMSA_SVSM_PRE_6_10))
                return error_set(reterr, -EINVAL, "--vmsa=%s does not go with --mode=%s", a->vmsa,
                                measure_mode_to_string(r->mode));
        return 0;
}

static int family_model_stepping(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        unsigned family, model, stepping;
        const char *name;

        if (!a->vcpu_model || !a->vcpu_stepping)
                return error_set(reterr, -EINVAL,
                                "--vcpu-family needs --vcpu-model and --vcpu-stepping beside it");
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
        bool needed = (r->mode == MEASURE_SEV_ES || r->mode == MEASURE_SNP || r->mode == MEASURE_SVSM) &&
                        vmsa_flavour_uses_signature(r->flavour);
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
        bool needed = r->mode == MEASURE_SEV_ES || r->mode == MEASURE_SNP || r->mode == MEASURE_SVSM;
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
                { "cmdline-hash", a->cmdline_hash, "append", a->append, r->given.words,
                                &r->has_cmdline_hash },
        };
        int k;

        FOREACH_ARRAY(h, hashes, ELEMENTSOF(hashes)) {
                if (h->text && h->file)
                        return error_set(reterr, -EINVAL, "--%s and --%s say the same: give one of them",
                                        h->option, h->other);
                k = read_hash(h->option, h->text, SHA256_SIZE, h->to, h->given, reterr);
                if (k < 0)
                        return k;
        }
        if (a->ovmf_hash && r->mode != MEASURE_SNP)
                return error_set(reterr, -EINVAL, "--snp-ovmf-hash goes with --mode=snp only");
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
                k = measure_request_open(r, "kernel", a->kernel, &r->plan.kernel, reterr);
        if (k >= 0 && a->initrd && a->initrd[0])
                k = measure_request_open(r, "initrd", a->initrd, &r->plan.initrd, reterr);
        if (k >= 0 && a->append)
                k = measure_request_bytes(r, "words", a->append, strlen(a->append), &r->plan.words);
        if (k >= 0)
                k = read_hashes(a, r, reterr);
        r->plan.kernel_hashes = kernel;
        return k;
}

static int read_svsm(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        struct stat st;

        if (!a->svsm)
                return error_set(reterr, -EINVAL, "missing --svsm PATH in guest mode 'snp:svsm'");
        if (a->vars_file && a->vars_size)
                return error_set(reterr, -EINVAL,
                                "--vars-size and --vars-file say the same: give one of them");
        if (a->kernel || a->kernel_hash)
                return error_set(reterr, -EINVAL, "--kernel: mode snp:svsm measures no kernel");
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
        return measure_request_open(r, "svsm", a->svsm, &r->svsm, reterr);
}

static int read_firmware(const MeasureArguments *a, MeasureRequest *r, char **reterr) {
        if (a->ovmf_metadata && r->mode != MEASURE_SNP)
                return error_set(reterr, -EINVAL,
                                "--ovmf-metadata goes with --mode=snp only: other modes need the file");
        if (a->ovmf && a->ovmf_metadata)
                return error_set(reterr, -EINVAL,
                                "--ovmf and --ovmf-metadata say the same: give one of them");
        if (!a->ovmf && !a->ovmf_metadata)
                return error_set(reterr, -EINVAL, "missing --ovmf PATH, the firmware");
        if (a->ovmf)
                return measure_request_open(r, "ovmf", a->ovmf, &r->plan.firmware, reterr);
        r->ovmf_metadata = strdup(a->ovmf_metadata);
        return r->ovmf_metadata ? 0 : -ENOMEM;
}

int measure_request_new(const MeasureArguments *a, RequestFiles *files, MeasureRequest *ret, char **reterr) {
        _cleanup_(measure_request_done) MeasureRequest r = { .features = DEFAULT_FEATURES, .files = files };
        int k;

        if (!a->mode)
                return error_set(reterr, -EINVAL,
                                "missing --mode: sev, seves, snp, snp:ovmf-hash or snp:svsm; see --help");
        r.mode = mode_from_string(a->mode);
        if (r.mode < 0)
                return error_set(reterr, -EINVAL,
                                "--mode: '%s' is not known: sev, seves, snp, snp:ovmf-hash or snp:svsm",
                                a->mode);
        r.plan.mode = measure_mode_sev(r.mode);
        if (a->guest_features && parse_u64(a->guest_features, &r.features) < 0)
                return error_set(reterr, -EINVAL,
                                "--guest-features: expected a number such as 0x21, not '%s'",
                                a->guest_features);
        if (a->es_features && parse_u64(a->es_features, &r.es_features) < 0)
                return error_set(reterr, -EINVAL, "--es-features: expected a number such as 0x20, not '%s'",
                                a->es_features);
        k = read_flavour(a, &r, reterr);
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

int measure_request_from_plan(LaunchPlan *plan, const char *vmsa, const char *es_features,
                MeasureRequest *ret, char **reterr) {
        static const MeasureMode modes[] = {
                [SEV_MODE_NONE] = _MEASURE_MODE_INVALID,
                [SEV_MODE_SEV] = MEASURE_SEV,
                [SEV_MODE_SEV_ES] = MEASURE_SEV_ES,
                [SEV_MODE_SEV_SNP] = MEASURE_SNP,
        };
        MeasureArguments a = { .vmsa = (char *) vmsa };
        _cleanup_(measure_request_done)
                        MeasureRequest r = { .mode = modes[plan->mode], .features = plan->guest_features };
        int k;

        if (r.mode < 0)
                return error_set(reterr, -EINVAL,
                                "a launch without SEV has no digest: give --coco=sev, sev-es or sev-snp");
        if (es_features && parse_u64(es_features, &r.es_features) < 0)
                return error_set(reterr, -EINVAL, "--es-features: expected a number such as 0x20, not '%s'",
                                es_features);
        k = read_flavour(&a, &r, reterr);
        if (k < 0)
                return k;
        if (!vmsa && r.mode == MEASURE_SEV_ES && plan->legacy_vm_type)
                r.flavour = VMSA_QEMU_PRE_6_10;
        r.vcpus = calloc(1, sizeof(unsigned));
        r.cpus = calloc(1, sizeof(MeasureCpu));
        if (!r.vcpus || !r.cpus)
                return -ENOMEM;
        r.n_vcpus = r.n_cpus = 1;
        r.vcpus[0] = plan->vcpus;
        r.cpus[0].signature = plan->vcpu_sig;
        if (plan->cpu_model) {
                r.cpus[0].name = strdup(plan->cpu_model);
                if (!r.cpus[0].name)
                        return -ENOMEM;
        }
        if (r.mode != MEASURE_SEV && plan->vcpu_sig == 0) {
                k = sev_cpu_resolve(plan->cpu_model ?: "", &r.cpus[0].signature, reterr);
                if (k < 0)
                        return k;
        }
        r.plan = TAKE_STRUCT(*plan, (LaunchPlan) {});
        *ret = TAKE_STRUCT(r, (MeasureRequest) {});
        return 0;
}
