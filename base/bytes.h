/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bounded access to bytes that somebody else wrote. A ByteReader is a cursor over [data, data+size): on failure neither
 * the cursor nor the outputs move. A ByteWriter appends to a fixed buffer and keeps the first error (sticky), so that
 * a sequence of puts is checked once at the end. Numbers are little endian and read byte by byte: no alignment and no
 * host byte order is assumed. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "macro.h"

static inline uint16_t le16_read(const void *p) {
        const uint8_t *b = p;
        return (uint16_t) (b[0] | b[1] << 8);
}

static inline uint32_t le32_read(const void *p) {
        const uint8_t *b = p;
        return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 | (uint32_t) b[3] << 24;
}

static inline uint64_t le64_read(const void *p) {
        return (uint64_t) le32_read(p) | (uint64_t) le32_read((const uint8_t *) p + 4) << 32;
}
static inline uint32_t be32_read(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}
static inline uint64_t be64_read(const uint8_t *p) {
        return (uint64_t) be32_read(p) << 32 | be32_read(p + 4);
}

static inline void le16_write(void *p, uint16_t v) {
        uint8_t *b = p;
        b[0] = (uint8_t) v;
        b[1] = (uint8_t) (v >> 8);
}

static inline void le32_write(void *p, uint32_t v) {
        le16_write(p, (uint16_t) v);
        le16_write((uint8_t *) p + 2, (uint16_t) (v >> 16));
}

static inline void le64_write(void *p, uint64_t v) {
        le32_write(p, (uint32_t) v);
        le32_write((uint8_t *) p + 4, (uint32_t) (v >> 32));
}

typedef struct ByteReader {
        const uint8_t *data; /* borrowed */
        size_t size;
        size_t pos;
} ByteReader;

static inline ByteReader byte_reader(const void *data, size_t size) {
        return (ByteReader) { .data = data, .size = size };
}

static inline size_t byte_reader_left(const ByteReader *r) {
        return r->size - r->pos;
}

/* 0, or -ENODATA if fewer than n bytes are left. *ret points into the reader's data. */
_warn_unused_result_ int byte_reader_take(ByteReader *r, size_t n, const uint8_t **ret);
_warn_unused_result_ int byte_reader_skip(ByteReader *r, size_t n);
/* Moves the cursor to an absolute offset: 0, or -ENODATA if it lies after the end. */
_warn_unused_result_ int byte_reader_seek(ByteReader *r, uint64_t offset);
_warn_unused_result_ int byte_reader_u8(ByteReader *r, uint8_t *ret);
_warn_unused_result_ int byte_reader_le16(ByteReader *r, uint16_t *ret);
_warn_unused_result_ int byte_reader_le32(ByteReader *r, uint32_t *ret);
_warn_unused_result_ int byte_reader_le64(ByteReader *r, uint64_t *ret);
_warn_unused_result_ int byte_reader_copy(ByteReader *r, void *buf, size_t n);
/* A reader over the next n bytes; the outer cursor moves after them. */
_warn_unused_result_ int byte_reader_sub(ByteReader *r, size_t n, ByteReader *ret);

/* True if all n bytes are zero: must-be-zero ranges. */
bool bytes_are_zero(const void *p, size_t n);

typedef struct ByteWriter {
        uint8_t *data; /* borrowed */
        size_t size;
        size_t pos;
        int error; /* first failure, -ENOBUFS, or 0 */
} ByteWriter;

static inline ByteWriter byte_writer(void *data, size_t size) {
        return (ByteWriter) { .data = data, .size = size };
}

void byte_writer_put(ByteWriter *w, const void *p, size_t n);
void byte_writer_zero(ByteWriter *w, size_t n);
void byte_writer_u8(ByteWriter *w, uint8_t v);
void byte_writer_le16(ByteWriter *w, uint16_t v);
void byte_writer_le32(ByteWriter *w, uint32_t v);
void byte_writer_le64(ByteWriter *w, uint64_t v);
/* Fills with zeros up to the absolute offset; an offset after the cursor is an error. */
void byte_writer_pad_to(ByteWriter *w, size_t offset);
/* 0, or the first error; checks also that exactly `expected` bytes were written. */
_warn_unused_result_ int byte_writer_finish(const ByteWriter *w, size_t expected);
