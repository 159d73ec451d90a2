/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Option handlers of the launcher beyond the standard ones; the shape is OptionHandler's. */

#include "config.h"

int config_handle_help(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_alone(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_nothing(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_reboot(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_run(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_shell(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_slice(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_property(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_manager(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_tristate(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_notify_ready(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_image_format(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_disk_type(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_bind_volume(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_extra_drive(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_private_users(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_bind(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_bind_user(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_bind_user_shell(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_bind_user_group(void *userdata, const OptionRow *row, const char *value, char **reterr);
/* Takes the drive's strings on success. */
int config_add_drive(VmConfig *c, const DriveSource *drive, char **reterr);
bool disk_type_from_text(const char *text, size_t n, DiskType *ret);
/* One field up to a colon or the end; "\:" and "\\" stand for the characters themselves. *ret is owned. */
_warn_unused_result_ int config_take_field(const char **p, char **ret);
int config_handle_copy_out(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_backing_file(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_data_file(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_grow_image(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_publish(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_state(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_firmware_features(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_network(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_vsock(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_vsock_cid(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_ssh_key(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_background(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_gui(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_console(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_console_transport(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_credential_transport(
                void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_json(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_coco(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_firmware(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_cpus(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_ram(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_machine(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_uuid(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_set_credential(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_load_credential(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_print(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_allow(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_guest_features(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_quote_socket(void *userdata, const OptionRow *row, const char *value, char **reterr);
int config_handle_vm_type(void *userdata, const OptionRow *row, const char *value, char **reterr);
/* Keeps "--NAME=VALUE" for the owner program. */
int config_handle_owner(void *userdata, const OptionRow *row, const char *value, char **reterr);
