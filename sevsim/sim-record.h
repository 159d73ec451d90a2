/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The record of one simulated launch: RECORD/launch-NNN/ with
 *   commands.jsonl  one JSON object per line, one line per command, in order
 *   pages.bin       the bytes that were handed over, at the offsets that the lines name
 *   digest          the launch digest, lower-case hex and a newline
 * and more small files that sevsim(1) describes. Each line says that it is a simulation. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct SimRecord SimRecord;

/* *ret is left alone if no record folder is set: the simulation works without. -errno: it cannot be written, which is reported. */
int record_new(SimRecord **ret);
/* Something could not be written. A launch's folder was removed: a part of a record reads like another launch. */
bool record_is_lost(const SimRecord *record);
SimRecord *record_host(void); /* RECORD/host.jsonl: what is not part of a launch; borrowed */
void record_free(SimRecord *record);

/* A line: begin, any members, end. All of it takes NULL for `record`. */
void record_begin(SimRecord *record, const char *command);
void record_string(SimRecord *record, const char *key, const char *value);
void record_number(SimRecord *record, const char *key, uint64_t value);
void record_address(SimRecord *record, const char *key, uint64_t value);
void record_bool(SimRecord *record, const char *key, bool value);
void record_hex(SimRecord *record, const char *key, const void *data, size_t size);
void record_end(SimRecord *record);
bool record_in_line(const SimRecord *record);

/* Appends to pages.bin and adds "pages_offset" and "pages_size" to the line under way. */
void record_pages(SimRecord *record, const void *data, size_t size);

void record_file(SimRecord *record, const char *name, const void *data, size_t size, mode_t mode);
void record_file_hex(SimRecord *record, const char *name, const void *data, size_t size);

/* To stderr, marked as the simulation's. */
void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
