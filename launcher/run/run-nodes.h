/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* QEMU's block nodes. QEMU opens nothing by name: each file is a descriptor of ours, and each node says what it stands on. */

#include "image-chain.h"
#include "run-session.h"

#define DISK_SERIAL_MAX 30u

/* The name of the file, by which the guest finds the disk in /dev/disk/by-id; at most max bytes. */
void disk_make_serial(const char *path, size_t max, char ret[static DISK_SERIAL_MAX + 1]);
/* For a virtio device: modern, with DMA to shared pages, where the guest is confidential. */
_warn_unused_result_ int session_set_confidential(const Session *s, Json *device);
/* The machine was started with scsi0. */
bool session_has_scsi_bus(const VmConfig *config);

/* For the number of a descriptor set. */
#define NODE_SET_FIRST 11u /* pflash uses 1 and 2 */

#define NODE_USEC (30 * UINT64_C(1000000)) /* each is an open or a small write; slow disks need patience */

typedef struct FileNode {
        const char *node;
        int fd; /* QEMU gets a duplicate */
        bool block_device, read_only;
} FileNode;

typedef struct FormatNode {
        const char *node;
        const char *file; /* the node of its bytes */
        ImageFormat format;
        const char *backing, *data; /* nodes; NULL: none, whatever the header says */
        bool read_only;
} FormatNode;

_warn_unused_result_ int node_add_file(Session *s, const FileNode *file, char **reterr);
_warn_unused_result_ int node_add_format(Session *s, const FormatNode *format, char **reterr);
/* An image and what it stands on; `node` is the name of the image's node, that of the others begins with it. */
_warn_unused_result_ int nodes_add_chain(
                Session *s, const ImageChain *chain, const char *node, char **reterr);
