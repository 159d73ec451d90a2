/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps of resolve_launch(), each in a file of its own. */

#include "resolve.h"

/* Opens a regular file and says which option named it when that fails. */
int resolve_open(const char *option, const char *path, uint64_t *ret_size, char **reterr);
/* A sealed memfd with a range of a regular file: the descriptor or -errno. */
int resolve_sealed_copy(
                const char *option, const char *path, int fd, uint64_t offset, uint64_t size, char **reterr);

/* Hands a file of which no copy is needed to QEMU, under its fixed number: by its path; by the descriptor if QEMU is another user, who
 * may not reach the path; as a copy if that user may not read the file at all. Takes fd. *ret_path is owned. */
_warn_unused_result_ int resolve_pass_on(const VmConfig *config, const char *option, const char *path,
                int fd, uint64_t size, LaunchFd number, LaunchInputs *in, char **ret_path, char **reterr);

_warn_unused_result_ int resolve_firmware(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_kernel(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_initrd(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_words(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_strings(const CredentialSet *credentials, LaunchInputs *in, char **reterr);
/* What SMBIOS tables cannot hold would be lost in silence. */
_warn_unused_result_ int resolve_check_smbios(const LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_blobs(const VmConfig *config, LaunchInputs *in, char **reterr);
/* Appends what mounts the image's root to the kernel words; words is NULL where no kernel is booted directly. */
_warn_unused_result_ int resolve_image(const VmConfig *config, const ResolveOptions *options,
                LaunchInputs *in, char ***words, char **reterr);
_warn_unused_result_ int resolve_run_credentials(const VmConfig *config, CredentialSet *set, char **reterr);
