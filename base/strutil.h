/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strings: owned string lists (strv), a growing text buffer, numbers, sizes, times and escapes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "macro.h"

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}
/* Equal, where NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}
/* The rest after the prefix, or NULL. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
bool endswith(const char *s, const char *suffix);

/* NULL-terminated, owned lists of owned strings; NULL is the empty list. */
char **strv_free(char **l); /* returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(char **, strv_free);
#define _cleanup_strv_free_ _cleanup_(strv_freep)
size_t strv_length(char *const *l);
bool strv_contains(char *const *l, const char *s);
_warn_unused_result_ int strv_push(char ***l, const char *s); /* copies s */
_warn_unused_result_ int strv_consume(char ***l, char *s);    /* takes s, also on failure; NULL is -ENOMEM */
_warn_unused_result_ int strv_pushf(char ***l, const char *format, ...) _printf_(2, 3);
_warn_unused_result_ int strv_copy(char *const *l, char ***ret);
char *strv_join(char *const *l,
                const char *separator); /* owned; "" for the empty list; NULL: out of memory */
/* Splits at each separator character; empty fields are kept. */
_warn_unused_result_ int strv_split(const char *s, char separator, char ***ret);

/* "a b c", as tables list what an option takes, as a sentence has it: "a, b or c". Cut at the room it has. */
typedef struct ValuesText {
        char text[256];
} ValuesText;
ValuesText values_text(const char *values);

/* Text that grows; the first failure is sticky. text_finish hands the string over. */
typedef struct Text {
        char *data; /* owned */
        size_t size, allocated;
        int error;
} Text;
void text_done(Text *t);
void text_put(Text *t, const char *s);
void text_put_n(Text *t, const char *s, size_t n);
void text_putf(Text *t, const char *format, ...) _printf_(2, 3);
/* With & < > " ' as references, which HTML and XML both know; other bytes as they are. */
void text_put_escaped(Text *t, char c);
_warn_unused_result_ int text_finish(Text *t, char **ret); /* 0 or -ENOMEM; *ret is owned */

/* What somebody else said, to be a part of our line: control characters become spaces, and what is longer is cut. Takes NULL. */
void text_flatten(char *s, size_t max);

/* Numbers. Decimal, or hexadecimal after 0x; no sign, no white space, nothing after. -EINVAL, -ERANGE. */
_warn_unused_result_ int parse_u64(const char *s, uint64_t *ret);
_warn_unused_result_ int parse_u64_max(const char *s, uint64_t max, uint64_t *ret);
_warn_unused_result_ int parse_unsigned(const char *s, unsigned *ret);
/* 1/yes/y/true/t/on, 0/no/n/false/f/off in any case (as systemd): 0 or 1, or -EINVAL. */
_warn_unused_result_ int parse_boolean(const char *s);
/* Bytes with an optional suffix K, M, G, T (1024 based, as systemd's --ram; then 3.5G, too): -EINVAL, -ERANGE. */
_warn_unused_result_ int parse_size(const char *s, uint64_t *ret);
/* Seconds, or a sum of numbers with the units us, ms, s, min, h ("2min 30s"); in microseconds; 0/infinity is 0. */
_warn_unused_result_ int parse_usec(const char *s, uint64_t *ret);
/* C escapes, strict: \a \b \f \n \r \t \v \\ \" \' \s (space) \xHH \ooo \uHHHH \UHHHHHHHH. NUL bytes are allowed, so
 * the size is returned. *ret is owned and NUL-terminated. On -EINVAL *reterr_offset is where the bad escape begins. */
_warn_unused_result_ int unescape_c(
                const char *s, size_t len, char **ret, size_t *ret_size, size_t *reterr_offset);
