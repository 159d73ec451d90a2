/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The descriptors that stand for the simulated devices: memfds whose name says what they are, so that one that
 * was inherited or passed over a socket is recognised in another process too. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

typedef enum DeviceKind {
        DEVICE_NONE,
        DEVICE_KVM,
        DEVICE_SEV,
        DEVICE_VM,
        DEVICE_VCPU,
        DEVICE_GUEST_MEMFD,
        _DEVICE_MAX,
} DeviceKind;

typedef struct Device {
        DeviceKind kind;
        unsigned vm;
        unsigned vcpu;
} Device;

/* Which device a path names, links in /dev not followed. */
DeviceKind device_by_path(const char *path);

/* A new descriptor, or -errno. */
int device_open(const Device *device, uint64_t size);
Device device_by_fd(int fd);
/* Whether this process has a descriptor of this machine still. */
bool device_vm_is_open(unsigned vm);

/* The node as stat() should show it, and whether the caller may open it with these access bits (R_OK, W_OK). */
int device_stat(DeviceKind kind, struct stat *ret);
int device_access(DeviceKind kind, int wanted);
/* Gives /dev/sev the rights of another node, in this process and its children. */
int device_set_node(const struct stat *st);
