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
        /* Put the adapter behind the initrd: nothing in there imports credentials. */
        bool adapter;
        bool shield; /* set here: PID 1 must not take credentials from its host (resolve-shield.c) */
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
/* Where nothing is said but --machine=, what that machine boots. */
_warn_unused_result_ int resolve_machine_image(VmConfig *config, char **reterr);
/* A boot loader is in this image: the guest can boot its disk without --linux=. False also for what cannot be read. */
bool resolve_firmware_has_loader(const char *path);
/* A pipe can be read once, and a launch may need its credentials twice: takes its content, for as long as the process lives. */
_warn_unused_result_ int resolve_hold_pipes(VmConfig *config, char **reterr);
/* What this host knows of the users of --bind-user=. */
_warn_unused_result_ int resolve_users(VmConfig *config, char **reterr);
/* The credentials of this launch in their order: the user's, then those for logins and of --run=. *ret_apart gets those that travel as
 * SMBIOS strings whatever the others do. login may be NULL. */
_warn_unused_result_ int resolve_credentials(const VmConfig *config, const LaunchLogin *login,
                CredentialSet *ret, CredentialSet *ret_apart, char **reterr);

/* PURE: does PID 1 of an initrd import the credentials in there? If not, why, for people. */
bool resolve_initrd_imports(bool initrd_release, unsigned systemd_version, char *reason, size_t size);
/* PURE: may the adapter do it instead? Not where credentials can travel as SMBIOS strings, nor where something else in the initrd reads
 * them. */
bool resolve_adapter_allowed(const VmConfig *config);
#define ADAPTER_NOTICE "the adapter that is added to the initrd does it"
/* Looks into the initrd of a launch that is resolved and filled, and resolves it again with the adapter where it needs it. A notice
 * says so. options->adapter says what was done. */
_warn_unused_result_ int resolve_adapt(
                const VmConfig *config, ResolveOptions *options, LaunchInputs *in, char **reterr);

/* Only the firmware that --firmware=describe is about; in->firmware_descriptor says where it was found. */
_warn_unused_result_ int resolve_firmware_alone(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);

/* The firmware of a launch, as the config asks for it. */
_warn_unused_result_ int resolve_firmware(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);

/* Any firmware choice of a config, opened where it is: for questions about the host. */
_warn_unused_result_ int resolve_firmware_for(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);

/* What to do where no descriptor fits and tools/fetch-artifacts has fetched an image; *ret is owned, NULL: nothing was fetched. */
_warn_unused_result_ int resolve_firmware_remedy(char **ret);

/* Adds root=PARTUUID=... or mount.usr=PARTUUID=... of the image's partition table to the kernel command line. */
_warn_unused_result_ int resolve_root_word(const char *image, char ***words, char **reterr);
