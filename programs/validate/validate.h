/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `cvmspawn validate`: the command line, statuses and messages of virt-qemu-sev-validate 12.8 (libvirt), over our own rooms.
 *
 * validate-args.c     the command line as Python's argparse reads it, and the rules between options
 * validate-input.c    firmware, keys, kernel, initrd, VMSAs
 * validate-measure.c  the expected measurement
 * validate-search.c   which other launch would fit, after a mismatch
 * validate-session.c  whether the keys belong to the session
 * validate-secret.c   secrets and the packet
 * validate-domain.c   what a libvirt domain adds
 *
 * Where the original is wrong, ours differs; `strict` (--strict-compat) brings its behaviour back. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "crypto-hash.h"
#include "macro.h"
#include "options.h"
#include "secret.h"
#include "sev-abi.h"

typedef enum ValidateStatus {
        VALIDATE_OK = 0,
        VALIDATE_FAILED = 1,      /* the measurement differs */
        VALIDATE_UNSUPPORTED = 2, /* usage */
        VALIDATE_INSECURE = 3,
        VALIDATE_CONFIG = 4, /* the domain's configuration */
        VALIDATE_STATE = 5,  /* the domain's state */
        VALIDATE_ERROR = 6,  /* anything else */
} ValidateStatus;

/* A Python integer, as far as this program can tell two apart: the low 64 bits in two's complement, and whether there
 * was more. */
typedef struct ValidateInt {
        bool given, negative, big;
        uint64_t low;
} ValidateInt;

typedef struct ValidateArgs {
        bool help, debug, quiet, insecure, ignore_config, strict, no_search;
        bool new_vm_type; /* VMSAs with FPU state, as KVM_SEV_INIT2 makes them */
        char *measurement;
        ValidateInt api_major, api_minor, build_id, policy, num_cpus;
        ValidateInt cpu_family, cpu_model, cpu_stepping;
        char *firmware, *kernel, *initrd, *cmdline, *vmsa_cpu0, *vmsa_cpu1;
        char *tik, *tek, *tk;
        char *connect, *domain;
        char **inject_secrets;
        char *secret_payload, *secret_header;
        char *session;
} ValidateArgs;

typedef struct ValidateDigest {
        bool present;
        uint8_t sha256[SHA256_SIZE];
} ValidateDigest;

typedef struct ValidateDomain ValidateDomain; /* a connection to libvirt and a domain */

typedef struct Validate {
        ValidateArgs args;
        ValidateStatus status; /* of the first failure */
        char *error;           /* owned; its sentence */

        uint8_t *firmware; /* owned */
        size_t firmware_size;
        Hash *firmware_state; /* owned; SHA-256 that has seen the firmware */
        SecretBuf keys;       /* a SevKeys */
        ValidateDigest kernel, initrd, words;
        ValidateDigest words_newline, words_trimmed; /* for the search */
        bool has_vmsa0, has_vmsa1;
        uint8_t vmsa0[SEV_PAGE_SIZE], vmsa1[SEV_PAGE_SIZE];
        char *session; /* owned; text of the domain's configuration, or NULL */

        uint8_t reported[SEV_MEASURE_SIZE];
        SevMeasurement expected; /* for the search */
        SecretTable secrets;
        ValidateDomain *domain; /* owned; NULL: offline */
} Validate;

#define VALIDATE_VCPUS_MAX 65536u /* more than any machine has; bounds the work */

/* Keeps the first failure; returns -ECANCELED. A NULL format: out of memory or a broken library. */
int validate_fail(Validate *v, ValidateStatus status, const char *format, ...) _printf_(3, 4);
/* "[Errno 2] No such file or directory: 'PATH'", status 6. */
int validate_fail_file(Validate *v, int r, const char *path);
/* "NOTE: ..." on standard error; silent with --quiet and in strict mode. */
void validate_note(const Validate *v, const char *format, ...) _printf_(2, 3);
void validate_debug(const Validate *v, const char *format, ...) _printf_(2, 3);
void validate_debug_hex(const Validate *v, const char *what, const void *p, size_t n);
static inline SevKeys *validate_keys(const Validate *v) {
        return (SevKeys *) v->keys.data;
}

#define VALIDATE_OPTION_OURS (1u << 16) /* a flag of rows that virt-qemu-sev-validate does not have */
extern const OptionTable validate_table;
/* An option handler: Python's int(). */
int validate_set_vm_type(void *userdata, const OptionRow *row, const char *value, char **reterr);
int validate_set_int(void *userdata, const OptionRow *row, const char *value, char **reterr);
void validate_args_done(ValidateArgs *a);
/* 0, or -EINVAL with the error message that argparse would print. */
_warn_unused_result_ int validate_args_parse(int argc, char *const *argv, ValidateArgs *ret, char **reterr);
_warn_unused_result_ int validate_check_usage(Validate *v);
/* The text as Python's repr() shows it; owned. */
char *validate_repr(const char *s);

_warn_unused_result_ int validate_load_firmware(Validate *v, const char *path);
_warn_unused_result_ int validate_load_keys(Validate *v);
_warn_unused_result_ int validate_hash_file(Validate *v, const char *path, ValidateDigest *ret);
_warn_unused_result_ int validate_hash_words(Validate *v, const char *words);
_warn_unused_result_ int validate_load_vmsa(Validate *v, unsigned cpu, const char *path);
_warn_unused_result_ int validate_build_vmsas(
                Validate *v, uint64_t family, uint64_t model, uint64_t stepping);

bool validate_is_es(const Validate *v);
/* Launch digest of what was given, message and comparison: status 1 if they differ. */
_warn_unused_result_ int validate_measure(Validate *v);
/* Prints what would fit instead. */
void validate_search(const Validate *v);
/* --session: refuses keys and policies that do not belong to it. The session in a domain's configuration is the host's word: it
 * only helps to explain a mismatch. */
_warn_unused_result_ int validate_check_session(Validate *v);
void validate_note_session(const Validate *v);

_warn_unused_result_ int validate_load_secrets(Validate *v);
/* header and payload as base64 text; *ret_payload is owned. */
_warn_unused_result_ int validate_seal_secrets(Validate *v, char **ret_header, char **ret_payload);
_warn_unused_result_ int validate_write_secrets(Validate *v);

/* Fills in what a libvirt domain knows; the connection stays open for validate_inject(). */
_warn_unused_result_ int validate_load_domain(Validate *v);
/* Seals the secrets, gives them to the domain and starts its CPUs. */
_warn_unused_result_ int validate_inject(Validate *v);
ValidateDomain *validate_domain_free(ValidateDomain *d);
