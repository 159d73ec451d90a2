/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the export program share. */

#include "config.h"
#include "export.h"
#include "launch.h"

/* Which of the launcher's options say something about the launch that a target has a place for; all others are refused, unless they only
 * matter to this launcher. `single`: of the image, nothing but itself is stored (--single-image). -EINVAL with an error message that names the
 * option. */
_warn_unused_result_ int export_check_given(
                char *const *launcher, ExportTarget t, bool single, char **reterr);

/* A resolved launch as ExportGuest, with what it borrows. */
typedef struct ExportLaunch {
        ExportGuest guest;
        char *name, *firmware, *kernel, *initrd, *cmdline, *dh_cert, *session; /* owned */
        char *kernel_sha512, *initrd_sha512;                                   /* owned */
        char **paths;                                                          /* owned: of disks */
        ExportDisk *disks;                                                     /* owned */
        char **written; /* owned: files in --output= */
        bool keep;      /* these files stay: the configuration that names them was printed */
} ExportLaunch;

/* Removes the files that were written, unless they are to stay. */
void export_launch_done(ExportLaunch *l);
/* Files that exist only here (a merged initrd, parts of a unified kernel image) are written into `folder`, or refused if it is NULL. */
_warn_unused_result_ int export_launch_read(const VmConfig *config, const LaunchInputs *inputs,
                const char *folder, ExportLaunch *ret, char **reterr);
/* Kernel and initrd as OpenStack stores them. */
_warn_unused_result_ int export_read_stored(ExportLaunch *l, char **reterr);
/* What the kernel says of itself: a notice where it is too old for the technology. */
_warn_unused_result_ int export_check_kernel(const ExportGuest *g, char ***notices);
/* --lock=: without --coco= in `launcher` the options of the lock are put in front of it; *launcher is replaced. */
_warn_unused_result_ int export_lock_options(const char *path, char ***launcher, char **reterr);
/* The launch has the digest and the policy of the lock. */
_warn_unused_result_ int export_lock_check(
                const char *path, char *const *launcher, const ExportGuest *g, char **reterr);
