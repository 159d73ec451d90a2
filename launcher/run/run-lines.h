/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text to lines, as it comes. */

#include <stddef.h>

#define LINE_MAX_IN 4096u /* notify lines from the guest, messages from QEMU */

typedef struct LineReader {
        char line[LINE_MAX_IN];
        size_t size;
} LineReader;

/* Calls handler for each whole line (without its newline, cut off after LINE_MAX_IN - 1 bytes). */
void line_reader_feed(LineReader *l, const char *data, size_t size,
                void (*handler)(char *line, void *userdata), void *userdata);
/* At the end of the text: what came without a newline is a line too. */
void line_reader_end(LineReader *l, void (*handler)(char *line, void *userdata), void *userdata);
