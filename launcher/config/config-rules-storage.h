/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Of the table of rules: what disks and directories are without each other. True: the configuration breaks the rule. */

#include "config.h"

bool format_without_image(const VmConfig *c);
bool ephemeral_without_image(const VmConfig *c);
bool image_file_without_image(const VmConfig *c);
bool disk_type_without_disk(const VmConfig *c);
bool grow_without_image(const VmConfig *c);
bool grow_read_only(const VmConfig *c);
bool grow_qcow2(const VmConfig *c);
bool ephemeral_read_only(const VmConfig *c);
bool ephemeral_extra(const VmConfig *c);
bool directory_and_image(const VmConfig *c);
bool users_without_directory(const VmConfig *c);
bool same_bind_target(const VmConfig *c);
bool coco_shares(const VmConfig *c);
bool coco_bind_user(const VmConfig *c);
bool bind_user_options_alone(const VmConfig *c);
bool coco_bind_alone(const VmConfig *c);
