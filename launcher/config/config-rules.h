/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Conditions of the table of rules that stand with their options: true if the configuration breaks the rule. */

#include "config.h"

/* config-network.c */
bool publish_alone(const VmConfig *c);
/* config-firmware.c */
bool coco_secure_boot(const VmConfig *c);
bool coco_nvram(const VmConfig *c);
bool uefi_alone(const VmConfig *c);
bool state_ephemeral(const VmConfig *c);
bool tpm_state_alone(const VmConfig *c);
/* config-login.c */
bool vsock_cid_alone(const VmConfig *c);
bool coco_vsock_user(const VmConfig *c);
bool coco_ssh_key(const VmConfig *c);
bool ssh_key_type_alone(const VmConfig *c);
bool ready_alone(const VmConfig *c);
/* config-journal.c */
bool journal_limits_alone(const VmConfig *c);
bool journal_without_vsock(const VmConfig *c);
bool journal_empty(const VmConfig *c);
/* config-scope.c */
bool scope_of_kept_unit(const VmConfig *c);
/* config-owner.c */
bool attested_twice(const VmConfig *c);
bool attested_other_mode(const VmConfig *c);
bool attested_simulated(const VmConfig *c);
bool attested_with_session(const VmConfig *c);
bool owner_options_alone(const VmConfig *c);
bool attested_options_alone(const VmConfig *c);
bool service_options_alone(const VmConfig *c);
bool relayed_options(const VmConfig *c);
bool service_url(const VmConfig *c);
/* config-tdx.c */
bool expect_no_digest(const VmConfig *c);
bool registers_alone(const VmConfig *c);
bool registers_without_kernel(const VmConfig *c);
bool cpu_of_host(const VmConfig *c);
bool owner_values_alone(const VmConfig *c);
