/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The part of snpguest that needs no guest: its commands and files, with our verifier behind them. */

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "report.h"
#include "snp-tcb.h"

typedef struct SnpguestArguments {
        bool quiet, help;
        /* fetch, verify */
        char *report, *endorser, *processor, *kds, *cache;
        bool tcb, signature, offline, lax;
        char *measurement, *host_data, *report_data, *id_key_digest, *author_key_digest, *time,
                        *insecure_root;
        /* generate */
        char *vcpus, *vcpu_type, *vcpu_sig, *vcpu_family, *vcpu_model, *vcpu_stepping, *vmm_type, *ovmf,
                        *kernel, *initrd, *append, *features, *ovmf_hash, *output_format, *file;
        char *passphrase_file, *family_id, *image_id, *version, *svn, *policy, *id_file, *auth_file;
} SnpguestArguments;

/* Each gets the arguments after its name: 0, a positive status, or -errno with an error message. */
int snpguest_fetch(const char *what, const SnpguestArguments *a, char **words, char **reterr);
int snpguest_verify_certs(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_verify_attestation(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_measurement(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_ovmf_hash(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_id_block(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_key_digest(const SnpguestArguments *a, char **words, char **reterr);

_warn_unused_result_ int snpguest_write(const char *path, const void *p, size_t n, char **reterr);
_warn_unused_result_ int snpguest_processor(const char *name, SnpGeneration *ret, char **reterr);
/* The processor that the report names, else the one that --processor-model names, else _INVALID. An error if they contradict each other. */
_warn_unused_result_ int snpguest_report_generation(
                const SnpReport *report, const char *processor, SnpGeneration *ret, char **reterr);
/* The file, and the report in it decoded. */
_warn_unused_result_ int snpguest_read_report(
                const char *path, ReportFile *f, SnpReport *ret, char **reterr);
