/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps of resolve_launch(), each in its own file. */

#include "firmware-descriptor.h"
#include "resolve.h"

/* Opens a regular file and says which option named it when that fails. */
int resolve_open(const char *option, const char *path, uint64_t *ret_size, char **reterr);
/* A memory file under copy.to that this range of a file will be copied into, and sealed then: resolve_fill(). Takes from and name;
 * *ret_path is owned. */
_warn_unused_result_ int resolve_copy_later(
                LaunchInputs *in, LaunchCopy copy, char **ret_path, char **reterr);
/* "--OPTION: 'PATH'" for its messages; owned, or NULL. */
char *resolve_copy_name(const char *option, const char *path);

/* Hands a file of which no copy is needed to QEMU, under its fixed number: by its path; by the descriptor if QEMU runs as a different user, who
 * may not reach the path; as a copy if that user may not read the file at all. Takes fd. *ret_path is owned. */
_warn_unused_result_ int resolve_pass_on(const VmConfig *config, const char *option, const char *path,
                int fd, uint64_t size, LaunchFd number, LaunchInputs *in, char **ret_path, char **reterr);

/* Checks a TD's firmware, whose metadata begin so far before its end; a notice says where it boots only what is signed. */
_warn_unused_result_ int resolve_tdvf(const char *path, const uint8_t *image, size_t size, uint32_t distance,
                LaunchInputs *in, char **reterr);
/* For a simulated TD: the list of memory, as the file that is loaded. */
_warn_unused_result_ int resolve_memory_list(const VmConfig *config, const uint8_t *image, size_t size,
                uint32_t distance, LaunchInputs *in, char **reterr);
/* Is there a firmware for this technology if Secure Boot keys do not matter? */
bool resolve_tdvf_with_keys(const VmConfig *config, const FirmwareList *list);

/* The image that is handed over is the one that was looked at. */
_warn_unused_result_ int resolve_firmware_recheck(
                const VmConfig *config, const LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_kernel(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_initrd(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_cmdline(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_strings(const CredentialSet *credentials, CredentialTransport transport,
                LaunchInputs *in, char **reterr);
/* What SMBIOS tables cannot hold would be lost in silence. */
_warn_unused_result_ int resolve_check_smbios(const LaunchInputs *in, char **reterr);
_warn_unused_result_ int resolve_blobs(const VmConfig *config, LaunchInputs *in, char **reterr);
/* Appends what mounts the image's root to the kernel command line; words is NULL where no kernel is booted directly. */
_warn_unused_result_ int resolve_image(const VmConfig *config, const ResolveOptions *options,
                LaunchInputs *in, char ***cmdline, char **reterr);
/* Opens what a disk can be, a regular file or a block device. */
_warn_unused_result_ int resolve_open_disk(
                const char *option, const char *path, bool read_only, char **reterr);
typedef struct ResolveDisk {
        const VmConfig *config;
        const char *option, *path; /* the option without its dashes */
        int fd;
        ImageFormat asked;
} ResolveDisk;

/* The format of a disk: raw unless the user says otherwise, never what its bytes say. AUTO becomes RAW. */
_warn_unused_result_ int resolve_disk_format(
                const ResolveDisk *d, LaunchInputs *in, ImageFormat *ret, char **reterr);
_warn_unused_result_ int resolve_extra_drives(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);
/* The directories of virtiofs: they are there, and the command line names the root. */
_warn_unused_result_ int resolve_shares(
                const VmConfig *config, LaunchInputs *in, char ***cmdline, char **reterr);
/* What mounts them: fstab.extra, or the service of --run=. */
_warn_unused_result_ int resolve_share_credentials(
                const VmConfig *config, CredentialSet *set, char **reterr);
/* The records of --bind-user=. */
_warn_unused_result_ int resolve_user_credentials(const VmConfig *config, CredentialSet *set, char **reterr);
/* What no launch does is an error of a launch; a measurement still computes the digest, and names it in a notice. */
_printf_(4, 5) int resolve_refuse(
                const ResolveOptions *options, LaunchInputs *in, char **reterr, const char *format, ...);
/* Opens the file of EFI variables, or a copy of the template `path` (or --efi-nvram-template=) in memory. */
_warn_unused_result_ int resolve_nvram(
                const VmConfig *config, const char *path, LaunchInputs *in, char **reterr);
/* True if credentials for logins do not travel with the others. */
bool resolve_login_apart(const VmConfig *config);
/* Adds them to `set`; what the user `given` has is left alone. login may be NULL. */
_warn_unused_result_ int resolve_login(const VmConfig *config, const LaunchLogin *login,
                const CredentialSet *given, CredentialSet *set, char **reterr);
/* PURE: whether PID 1 is kept from credentials of the host's, and by what: options->shield and options->adapter. A notice where that is not done. */
_warn_unused_result_ int resolve_shield(const VmConfig *config, const CredentialSet *credentials,
                ResolveOptions *options, LaunchInputs *in);
#define SHIELD_WORD "systemd.import_credentials=no"
/* The adapter's archive, opened and looked into. */
_warn_unused_result_ int resolve_open_adapter(const VmConfig *config, uint64_t *ret_size, char **reterr);
/* The word by which the kernel starts it, put into the kernel command line. */
_warn_unused_result_ int resolve_adapter_word(const VmConfig *config, char **text, char **reterr);
_warn_unused_result_ int resolve_run_credentials(const VmConfig *config, CredentialSet *set, char **reterr);
