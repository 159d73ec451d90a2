/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Entries and attributes of the simulated TSM tree (dev-tsm.c), and the file system that shows them (dev-tsm-files.c). */

#include "dev.h"

typedef enum DevAttribute {
        DEV_GENERATION,
        DEV_PROVIDER,
        DEV_PRIVLEVEL,
        DEV_PRIVLEVEL_FLOOR,
        DEV_INBLOB,
        DEV_OUTBLOB,
        DEV_AUXBLOB,
        _DEV_ATTRIBUTE_MAX,
} DevAttribute;

typedef struct DevAttributeRow {
        const char *name;
        unsigned mode;
} DevAttributeRow;

extern const DevAttributeRow dev_attributes[_DEV_ATTRIBUTE_MAX];

enum { DEV_NAME_MAX = 64, DEV_ENTRIES_MAX = 16, DEV_OPEN_MAX = 64, DEV_TEXT_MAX = 64 };

typedef struct DevEntry {
        char name[DEV_NAME_MAX]; /* empty: not in use */
        unsigned long write_generation, read_generation;
        uint32_t level;
        uint8_t in[DEV_DATA_SIZE];
        size_t in_size;
        uint8_t out[DEV_RESPONSE_SIZE];
        size_t out_size;
        const uint8_t *aux; /* the platform's */
        size_t aux_size;
} DevEntry;

/* An open file: what it reads is made at the first read and stays, what it writes to inblob waits for its end. */
typedef struct DevOpen {
        bool used, dirty, filled;
        unsigned entry;
        DevAttribute which;
        uint8_t in[DEV_DATA_SIZE];
        size_t in_size;
        uint8_t *data; /* owned */
        size_t size;
} DevOpen;

struct DevTsm {
        DevEntry entries[DEV_ENTRIES_MAX];
        DevOpen open[DEV_OPEN_MAX];
};

/* *ret is in `text` or the entry's. */
int dev_attribute_read(Dev *d, DevEntry *e, DevAttribute which, char text[static DEV_TEXT_MAX],
                const uint8_t **ret, size_t *ret_size);
int dev_attribute_write(Dev *d, DevOpen *o, DevEntry *e, const uint8_t *p, size_t n, uint64_t offset);
void dev_attribute_close(DevOpen *o, DevEntry *e);
