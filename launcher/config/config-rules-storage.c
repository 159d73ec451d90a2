/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-rules-storage.h"

#include "strutil.h"

bool format_without_image(const VmConfig *c) {
        return c->image_format != IMAGE_FORMAT_AUTO && !c->image;
}

bool ephemeral_without_image(const VmConfig *c) {
        return c->ephemeral && !c->image && !c->directory;
}

bool image_file_without_image(const VmConfig *c) {
        bool qcow2 = c->image && c->image_format == IMAGE_FORMAT_QCOW2;

        for (size_t i = 0; i < c->n_extra_drives && !qcow2; i++)
                qcow2 = c->extra_drives[i].format == IMAGE_FORMAT_QCOW2;
        return c->n_image_files > 0 && !qcow2;
}

bool disk_type_without_disk(const VmConfig *c) {
        return c->image_disk_type != DISK_VIRTIO_BLK && !c->image && c->n_extra_drives == 0;
}

bool grow_without_image(const VmConfig *c) {
        return c->grow_image > 0 && !c->image;
}

bool grow_read_only(const VmConfig *c) {
        return c->grow_image > 0 && disk_type_facts(c->image_disk_type)->read_only;
}

bool grow_qcow2(const VmConfig *c) {
        return c->grow_image > 0 && c->image_format == IMAGE_FORMAT_QCOW2 && !c->ephemeral;
}

bool ephemeral_read_only(const VmConfig *c) {
        return c->ephemeral && disk_type_facts(c->image_disk_type)->read_only;
}

bool ephemeral_extra(const VmConfig *c) {
        return c->ephemeral && c->n_extra_drives > 0;
}

bool directory_and_image(const VmConfig *c) {
        return c->directory && c->image;
}

bool users_without_directory(const VmConfig *c) {
        return c->user_range > 0 && !c->directory;
}

bool same_bind_target(const VmConfig *c) {
        for (size_t i = 0; i < c->n_binds; i++) {
                for (size_t k = 0; k < i; k++)
                        if (streq(c->binds[i].target, c->binds[k].target))
                                return true;
                FOREACH_ARRAY(u, c->bind_users, c->n_bind_users)
                        if (streq(c->binds[i].target, u->target))
                                return true;
        }
        return false;
}

bool coco_shares(const VmConfig *c) {
        FOREACH_ARRAY(b, c->binds, c->n_binds)
                if (vm_config_confidential(c) && !b->read_only)
                        return true;
        return vm_config_confidential(c) && c->directory;
}

bool coco_bind_user(const VmConfig *c) {
        return vm_config_confidential(c) && c->n_bind_users > 0;
}

bool bind_user_options_alone(const VmConfig *c) {
        return c->n_bind_users == 0 &&
                        (c->bind_user_groups || c->bind_user_shell || c->bind_user_host_shell);
}

bool coco_bind_alone(const VmConfig *c) {
        return vm_config_confidential(c) && c->n_binds > 0 && !c->linux_path;
}
