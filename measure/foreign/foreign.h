/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Another launcher's description of a guest in place of options: a QEMU command line, a libvirt domain, OpenStack's
 * image and flavor, a command line of systemd-vmspawn. What enters the digest is understood or refused. */

#include <stdbool.h>
#include <stdint.h>

#include "coco.h"
#include "macro.h"
#include "vmm-profile.h"

/* What the user's own options give: it takes precedence over the line, and is not asked for. */
typedef struct ForeignGiven {
        const char *cpu; /* how the CPU was given, for a sentence: "--vcpu-sig=0x800f12"; NULL: it was not */
        const char *firmware, *kernel, *initrd, *append; /* files, and words; NULL where not given */
        const char *host_data;                           /* base64, for Kata; or NULL */
        bool firmware_metadata;                          /* in place of a file, */
        bool kernel_hash, initrd_hash, cmdline_hash;     /* and these, too */
} ForeignGiven;

typedef struct ForeignOptions {
        char *const *assumed; /* --assume-unmeasured: names that the user says change nothing; may be NULL */
        unsigned launch;      /* which of several command lines, from 1 on; 0: they must agree */
        ForeignGiven given;
} ForeignOptions;

/* What enters the digest, what was given included. */
typedef struct ForeignGuest {
        CocoMode mode;
        VmmProfile profile;
        uint64_t features, es_features; /* SEV_FEATURES with SNP, with SEV-ES */
        unsigned vcpus;
        uint64_t memory;        /* bytes; 0: unknown */
        char *cpu_model;        /* owned; or NULL... */
        bool cpu_signature_set; /* ...then this one, which can be 0; else it was given, or does not enter */
        uint32_t cpu_signature;
        char *firmware, *kernel, *initrd, *append; /* owned; NULL: none, or not measured */
} ForeignGuest;

typedef struct ForeignResult {
        ForeignGuest guest; /* not complete where there is an IGVM file */
        char *igvm;         /* owned; the IGVM file, or NULL */
        char **notices;     /* owned; what the user has to know, a sentence each */
        char **argv; /* owned; arguments for a real QEMU that launch the same on a simulated host, or NULL */
        char *no_argv;     /* owned; why there are none */
        uint64_t below_4g; /* bytes of memory under 4 GiB; 0: the line was not read so far */
        bool has_id_block;
        uint8_t id_block_digest[48]; /* the digest that an ID block on the line expects */
} ForeignResult;

void foreign_result_done(ForeignResult *r);

/* `what` is a process number or a file. Notices are there on failure, too. */
_warn_unused_result_ int foreign_from_qemu(
                const char *what, const ForeignOptions *o, ForeignResult *ret, char **reterr);
/* A file with a domain, or - for standard input; the same. */
_warn_unused_result_ int foreign_from_libvirt(
                const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr);
/* A domain as text: for readers that make one themselves. */
_warn_unused_result_ int foreign_from_domain(
                const char *text, const ForeignOptions *o, ForeignResult *ret, char **reterr);

/* Files with what 'openstack image|flavor|server show -f json' prints. */
typedef struct ForeignOpenstack {
        const char *image, *flavor, *server; /* server: or NULL */
        char *const *stored;                 /* answers for the images of kernel and initrd, or NULL */
} ForeignOpenstack;

/* Firmware, kernel and initrd are those of o->given. */
_warn_unused_result_ int foreign_from_openstack(
                const ForeignOpenstack *files, const ForeignOptions *o, ForeignResult *ret, char **reterr);

/* A file with Kata Containers' configuration, or - for standard input. */
_warn_unused_result_ int foreign_from_kata(
                const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr);

/* A file with KubeVirt's VirtualMachineInstance or VirtualMachine as JSON or YAML, or - for standard input. Firmware, kernel and initrd are those of
 * o->given. */
_warn_unused_result_ int foreign_from_kubevirt(
                const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr);

/* A file with an instance of Incus as JSON, or - for standard input. The firmware is that of o->given. */
_warn_unused_result_ int foreign_from_incus(
                const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr);

/* One argv: for readers that make one themselves. `pid` may be NULL. */
_warn_unused_result_ int foreign_from_argv(char *const *argv, const char *pid, const ForeignOptions *o,
                ForeignResult *ret, char **reterr);
