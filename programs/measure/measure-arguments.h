/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options that say what is measured, and the request that they make. */

#include "measure-files.h"
#include "measure-request.h"

/* As typed; all owned, NULL where not given. Names follow sev-snp-measure. */
typedef struct MeasureArguments {
        char *mode, *vmm_type, *vmsa;
        char *vcpus, *vcpu_type, *vcpu_sig, *vcpu_family, *vcpu_model, *vcpu_stepping;
        char *guest_features, *es_features;
        char *ovmf, *ovmf_hash, *ovmf_metadata;
        char *kernel, *initrd, *append;
        char *kernel_hash, *initrd_hash, *cmdline_hash;
        char *svsm, *vars_size, *vars_file;
        char *page_order, *memory, *edk2, *fw_cfg, *bios, *disk; /* TDX */
} MeasureArguments;

void measure_arguments_done(MeasureArguments *a);

/* -EINVAL and others with an error message. Opens files, or takes them from `files`, which may be NULL. */
_warn_unused_result_ int measure_arguments_read(
                const MeasureArguments *a, RequestFiles *files, MeasureRequest *ret, char **reterr);
/* --vmsa= of a mode; *ret stays where it is not given. */
_warn_unused_result_ int measure_arguments_vmsa(
                const MeasureArguments *a, MeasureMode mode, VmmProfile *ret, char **reterr);
/* --es-features=; the same. */
_warn_unused_result_ int measure_arguments_es_features(
                const MeasureArguments *a, uint64_t *ret, char **reterr);
