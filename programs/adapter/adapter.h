/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program that a launch puts into an initrd whose PID 1 does not import credentials itself. The kernel starts it instead of /init
 * (rdinit=, Documentation/admin-guide/kernel-parameters.txt). It uses no room: what it is made of is measured with the guest, so it is small and
 * changes seldom. */

#include <stdbool.h>
#include <stddef.h>

#define ADAPTER_FOLDER      "/.cvmspawn"
#define ADAPTER_PATH        ADAPTER_FOLDER "/adapter"
#define ADAPTER_SOURCE      "/.extra/system_credentials"
#define ADAPTER_COMMAND     "cvmspawn.run.command"
#define ADAPTER_CREDENTIALS "/run/credentials/@system" /* while a command runs */
#define ADAPTER_CHUNK       4096u
#define ADAPTER_COPIES      "cvmspawn.run.copy-out"

/* Where credentials wait for systemd: devtmpfs is one file system however often it is mounted, so they outlive whatever the initrd mounts
 * and moves. */
#define ADAPTER_PLACE ".cvmspawn/credentials"

/* Where the launcher puts its serial ports (launcher/compose/compose-devices.c): firmware writes its own messages to the first two of a PC. */
#define ADAPTER_STDOUT_ADDRESS "0x3e8"
#define ADAPTER_STDERR_ADDRESS "0x2e8"
#define ADAPTER_NOTIFY_ADDRESS "0x238"

/* One line for people, here or on the console. */
void adapter_say_on(int fd, const char *what, const char *detail);
void adapter_say(const char *what, const char *detail);
/* The same, then the end of this guest: without what it was given it must not go on as if nothing was missing. */
_Noreturn void adapter_fail(const char *what, const char *detail);

/* Mounts a file system of the kernel, whose folder is made where it is missing. */
void adapter_mount(const char *type, const char *where, const char *options);

/* Copies each NAME.cred of the archive to folder/NAME, readable by root only, and removes the archive's folder. */
void adapter_take_credentials(const char *folder);
/* The credential --run= stands for; false: there is none. */
bool adapter_has_command(void);

/* Reads a file into memory; *ret is owned. */
_Bool adapter_read(const char *path, char **ret, size_t *ret_size);
void adapter_write(int fd, const void *data, size_t size, const char *path);

/* Into path: before, a number up to 99, after. */
#define ADAPTER_NUMBER_SIZE 64u
void adapter_number(
                char path[static ADAPTER_NUMBER_SIZE], const char *before, unsigned n, const char *after);
/* To the port of notifications. */
void adapter_notify(int port, const char *line);
/* --copy-out= */
void adapter_copy_out(int port);

/* Runs the command as this machine's only job and powers off. */
_Noreturn void adapter_run(void);
