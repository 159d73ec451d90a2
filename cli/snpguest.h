/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The half of snpguest that needs no guest: its words and files, with our verifier behind them. */

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "snp-tcb.h"

typedef struct SnpguestArguments {
        bool quiet, help;
        /* fetch, verify */
        char *report, *endorser, *processor, *kds, *cache;
        bool tcb, signature, offline;
        char *measurement, *host_data, *report_data, *id_key_digest, *author_key_digest, *time,
                        *insecure_root;
        /* generate */
        char *vcpus, *vcpu_type, *vcpu_sig, *vcpu_family, *vcpu_model, *vcpu_stepping, *vmm_type, *ovmf,
                        *kernel, *initrd, *append, *features, *ovmf_hash, *output_format, *file;
        char *family_id, *image_id, *version, *svn, *policy, *id_file, *auth_file;
} SnpguestArguments;

void snpguest_arguments_done(SnpguestArguments *a);

/* Each gets the words behind its own: 0, a positive status, or -errno with a sentence. */
int snpguest_fetch(const char *what, const SnpguestArguments *a, char **words, char **reterr);
int snpguest_verify_certs(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_verify_attestation(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_measurement(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_ovmf_hash(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_id_block(const SnpguestArguments *a, char **words, char **reterr);
int snpguest_key_digest(const SnpguestArguments *a, char **words, char **reterr);

_warn_unused_result_ int snpguest_write(const char *path, const void *p, size_t n, char **reterr);
