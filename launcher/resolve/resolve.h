/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From names to bytes: opens and checks firmware, kernel, initrds and image, loads credentials, packs and merges them, and fills
 * LaunchInputs with the LaunchPlan. Reads files; starts nothing.
 *
 * In two steps, since copying many MiB takes longer than all else: resolve_launch() settles what QEMU and the measure program are told,
 * and resolve_fill() copies while QEMU starts. */

#include <stdatomic.h>

#include "credential.h"
#include "launch.h"
#include "resolve-uki.h"

typedef struct ResolveOptions {
        /* Sealed copies of what is measured, under fixed numbers, for QEMU; else (measure) files are read where they are. */
        bool for_launch;
        /* AUTO, or what a second attempt has to use because the initrd cannot import. */
        CredentialTransport transport;
        /* Where firmware descriptors are looked for, most specific first; NULL: the usual directories. */
        char *const *firmware_dirs;
        /* resolve_firmware_for()'s own: the question is about launches with a kernel, whatever the config says. */
        bool with_kernel;
        /* A unified kernel image is passed to QEMU as it is, which no launch of ours does, but systemd-vmspawn does. */
        bool whole_kernel;
        const LaunchLogin *login; /* NULL: none */
        const Uki *uki;           /* resolve_launch()'s own: --linux= taken apart; callers leave it NULL */
} ResolveOptions;

/* 0, or -errno with an error message naming file or option. */
_warn_unused_result_ int resolve_launch(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *ret, char **reterr);

/* Copies in->copies and seals every memory file that they make up: from then on what is measured is what QEMU reads. Must not run
 * beside another change of `in`; stops with -ECANCELED, without an error message, once *stop is set (NULL: never). */
_warn_unused_result_ int resolve_fill(
                const VmConfig *config, LaunchInputs *in, const atomic_bool *stop, char **reterr);

/* --directory= without --linux=: the kernel and the initrd that are in there, from here on as if they had been given. */
_warn_unused_result_ int resolve_directory_kernel(VmConfig *config, char **reterr);
/* A pipe can be read once, and a launch may need its credentials twice: takes its content, for as long as the process lives. */
_warn_unused_result_ int resolve_hold_pipes(VmConfig *config, char **reterr);
/* The credentials of this launch in their order: the user's, then those for logins and of --run=. *ret_apart gets those that travel as
 * SMBIOS strings whatever the others do. login may be NULL. */
_warn_unused_result_ int resolve_credentials(const VmConfig *config, const LaunchLogin *login,
                CredentialSet *ret, CredentialSet *ret_apart, char **reterr);

/* Only the firmware that --firmware=describe is about; in->firmware_descriptor says where it was found. */
_warn_unused_result_ int resolve_firmware_alone(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);

/* Any firmware choice of a config, opened where it is: for questions about the host. */
_warn_unused_result_ int resolve_firmware_for(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);

/* What to do where no descriptor fits and tools/fetch-artifacts has fetched an image; *ret is owned, NULL: nothing was fetched. */
_warn_unused_result_ int resolve_firmware_remedy(char **ret);

/* Adds root=PARTUUID=... or mount.usr=PARTUUID=... of the image's partition table to the kernel command line. */
_warn_unused_result_ int resolve_root_word(const char *image, char ***words, char **reterr);
