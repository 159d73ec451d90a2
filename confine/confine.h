/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ways to give up what is not needed any more. The only includer of libseccomp, libcap and Landlock's header. Everything here
 * applies to the calling process and cannot be undone.
 *
 * Sources: capabilities(7), seccomp(2), landlock(7), mount_namespaces(7), Linux Documentation/userspace-api/landlock.rst. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "macro.h"

/* Nothing executed from here on gains privileges by set-user-ID files or file capabilities. */
_warn_unused_result_ int confine_no_new_privileges(void);

/* Keeps only the capabilities named ("cap_kill"), in all sets, the bounding set included where that is permitted. */
_warn_unused_result_ int confine_capabilities(const char *const *keep, size_t n_keep);
/* True if the calling process has any capability. */
bool confine_has_capabilities(void);

/* No file can be opened, made, removed or executed any more; open descriptors go on working. -EOPNOTSUPP: this kernel has no
 * Landlock. Needs confine_no_new_privileges(). */
_warn_unused_result_ int confine_files(void);

/* The same, but files can be removed in one folder, and empty folders in another, given by descriptors; -EBADF: nowhere. */
_warn_unused_result_ int confine_files_but_removal(int files_in, int folders_in);

typedef struct ConfinePath {
        const char *path; /* a file, or a directory with everything below it */
        bool write;       /* also made, changed, removed; else read only */
        bool execute;     /* programs there can be started */
        bool names;       /* directories can be listed, and nothing be read */
} ConfinePath;

/* Only these can be opened from here on, and nothing else can be executed. Where the kernel knows how, no TCP connection can be opened
 * or waited for by a new socket (6.7), and nobody outside can be reached by signals or abstract sockets (6.12). -EOPNOTSUPP: this
 * kernel has no Landlock. Needs confine_no_new_privileges(). */
_warn_unused_result_ int confine_to_paths(const ConfinePath *paths, size_t n);

/* The same for files only: for a process that is there for its network. */
_warn_unused_result_ int confine_files_to_paths(const ConfinePath *paths, size_t n);

/* No memory becomes executable any more. -EOPNOTSUPP: this kernel (before 6.3) cannot. */
_warn_unused_result_ int confine_memory(void);

/* In place of the name "socket": only those of this machine, which is what service managers and loggers are reached by. */
#define CONFINE_SOCKET_UNIX "socket(AF_UNIX)"

/* struct sock_filter, linux/filter.h. */
typedef struct ConfineInstruction {
        uint16_t code;
        uint8_t yes, no;
        uint32_t k;
} ConfineInstruction;

#define CONFINE_FILTER_MAX 512u /* two instructions a call */

typedef struct ConfineFilter {
        ConfineInstruction code[CONFINE_FILTER_MAX];
        size_t n;
} ConfineFilter;

/* Builds a filter and checks that it does what was asked for: long before it is needed, allocating nothing. Names as below. */
_warn_unused_result_ int confine_filter_build(const char *const *names, size_t n, ConfineFilter *ret);
/* Installs it by the raw call. Needs confine_no_new_privileges(). */
_warn_unused_result_ int confine_filter_install(const ConfineFilter *f);
/* What the kernel would decide (SECCOMP_RET_*); arg0: the low half of the first argument. For tests. */
uint32_t confine_filter_decide(const ConfineFilter *f, uint32_t arch, uint32_t number, uint32_t arg0);

/* Only these system calls; all others fail with EPERM. Names that this machine's libseccomp does not know are skipped.
 * Needs confine_no_new_privileges(). */
_warn_unused_result_ int confine_system_calls(const char *const *names, size_t n);

/* For a program of somebody else that is started next, whose calls are not known: all but those that reach the network, other processes, or past
 * this filter. Needs confine_no_new_privileges(). */
_warn_unused_result_ int confine_foreign_program(void);

typedef struct ConfineUser {
        uid_t uid;
        gid_t gid;
} ConfineUser;

/* Its own user for a child: the user `name` of /etc/passwd if there is one, else a user id of 61184 to 65519 (the range of
 * systemd's dynamic users) that nobody has, with the group `group` or the user id's number. */
_warn_unused_result_ int confine_find_user(const char *name, const char *group, ConfineUser *ret);
/* The user that a person named, by name or number; -ENOENT. */
_warn_unused_result_ int confine_lookup_user(const char *name, ConfineUser *ret);

/* Whether that user can execute the file: 0, -EACCES, or -EPERM if this process may not become that user. A child
 * tries it. */
_warn_unused_result_ int confine_check_execute(const ConfineUser *user, const char *path);
/* Whether this process has the capabilities for confine_private_devices(). */
bool confine_can_mount(void);
/* Whether this process has that capability, by its name ("cap_ipc_lock"). */
bool confine_has_capability(const char *name);

/* Turns the calling process into that user for good, with no supplementary groups. */
_warn_unused_result_ int confine_become_user(const ConfineUser *user);
/* In its own mount namespace, makes the device nodes at these paths accessible (0660) to the group; nodes that do not exist are
 * passed over. Needs CAP_SYS_ADMIN and CAP_MKNOD; -EPERM otherwise. */
_warn_unused_result_ int confine_private_devices(const char *const *paths, size_t n, gid_t group);
