/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel command line that Kata Containers composes for a confidential guest: its Go runtime, version 4.1 (src/runtime/virtcontainers:
 * qemu_amd64.go, qemu_arch_base.go, kata_agent.go). It is measured, so each word and its place counts. Releases before 3.32 have nr_cpus=, too. */

#include <stdbool.h>

#include "macro.h"

/* The only CPU model that Kata uses for SEV-SNP. */
#define KATA_CPU_MODEL "EPYC-v4"
/* What the configuration file of a release says where its template has a number. */
#define KATA_LAUNCH_TIMEOUT 6u

typedef struct KataWords {
        const char *rootfs_type; /* of an image: "ext4", "xfs", "erofs"; NULL: an initrd */
        const char *verity;      /* kernel_verity_params; NULL or "": none */
        bool legacy_serial, debug, scsi;
        bool agent_debug, agent_tracing, agent_console;
        unsigned cdh_timeout, launch_timeout; /* seconds; 0: the agent's default */
        const char *params;                   /* kernel_params; NULL or "": none */
} KataWords;

/* *ret is owned. -EINVAL with an error message. */
_warn_unused_result_ int kata_words(const KataWords *w, char **ret, char **reterr);
