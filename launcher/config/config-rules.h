/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Conditions of the table of rules that stand with their options: true if the configuration breaks the rule. */

#include "config.h"

/* config-network.c */
bool publish_alone(const VmConfig *c);
/* config-login.c */
bool vsock_cid_alone(const VmConfig *c);
bool coco_vsock_user(const VmConfig *c);
bool coco_ssh_key(const VmConfig *c);
bool ssh_key_type_alone(const VmConfig *c);
bool ready_alone(const VmConfig *c);
