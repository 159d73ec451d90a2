/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PURE: one launch as the configuration of another launcher. What the other one cannot express is an error, or a notice where no measured
 * byte changes; nothing is dropped. The measure program reads each of these back (measure/foreign), and must find the same launch. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coco.h"
#include "json.h"
#include "macro.h"

typedef struct ExportDisk {
        const char *path, *format; /* "raw", "qcow2" */
        const char *type;          /* as --image-disk-type= has it: "virtio-blk" */
        bool read_only;
} ExportDisk;

/* A file as a store of images shows it. */
typedef struct ExportStored {
        uint64_t size;
        const char *sha512; /* hexadecimal; NULL: nobody has hashed it */
} ExportStored;

/* All that a launch consists of, resolved: paths are absolute, texts are as QEMU gets them. Everything is borrowed; NULL: none. */
typedef struct ExportGuest {
        const char *name, *uuid;
        CocoMode mode;
        unsigned vcpus;
        uint64_t ram; /* bytes, a multiple of 1 MiB */
        const char *cpu_model;
        uint64_t policy;
        bool legacy_vm_type, kernel_hashes;
        const char *firmware, *kernel, *initrd, *cmdline;
        ExportStored kernel_stored, initrd_stored;  /* OpenStack */
        const char *host_data, *id_block, *id_auth; /* base64 */
        bool author_key, vcek;
        const char *dh_cert, *session;                    /* base64 */
        const char *mrconfigid, *mrowner, *mrownerconfig; /* base64, TDX */
        const char *quote_socket; /* of the service for quotes: path, "vsock:CID:PORT", "no"; NULL: not said */
        const ExportDisk *disks;
        size_t n_disks;
        bool network; /* QEMU's user mode network */
        bool virtio_console;
} ExportGuest;

typedef enum ExportTarget {
        EXPORT_INCUS,
        EXPORT_KATA,
        EXPORT_KUBEVIRT,
        EXPORT_LIBVIRT,
        EXPORT_OPENSTACK,
        EXPORT_PROXMOX,
        EXPORT_QEMU,
        _EXPORT_TARGET_MAX,
        _EXPORT_TARGET_INVALID = -22,
} ExportTarget;

typedef struct ExportOptions {
        unsigned libvirt;         /* version, 11003 stands for 11.3; 0: any that knows the technology */
        unsigned nova;            /* the same, 33000 stands for 33.0 */
        const char *kernel_image; /* KubeVirt: container image with kernel and initrd, or NULL */
        const char *hook_sidecar; /* KubeVirt: container image of its sidecar-shim, or NULL: fields */
        const char *initdata;     /* Kata: host data of the pod's initdata, base64, or NULL */
        bool json;                /* the same as JSON, where the target has both */
        JsStyle style;
} ExportOptions;

ExportTarget export_target_from_string(const char *s);
const char *export_target_to_string(ExportTarget t);

/* *ret is owned. `notices` (a strv) gets a sentence for each thing that the user has to know. -EINVAL with an error message for what the
 * target cannot express. */
_warn_unused_result_ int export_guest(ExportTarget t, const ExportGuest *g, const ExportOptions *o,
                char **ret, char ***notices, char **reterr);
