/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the refs program share. */

#include <stdbool.h>

#include "refs-export.h"
#include "refs-file.h"
#include "verb.h"

typedef struct RefsArguments {
        char *output;
        /* build */
        char *name, *issued, *platform;
        char **tcb;
        uint64_t sequence, guest_policy, valid;
        unsigned family_vcpus, svn;
        char *id_key, *author_key, *passphrase_file, *family_id, *image_id;
        bool family_given, policy_given, sequence_given;
        /* learn */
        bool good, lower;
        /* sign */
        char **keys;
        char *signature, *public_key;
        bool detached;
        /* verify, and all that read a bundle */
        char **signers;
        unsigned threshold;
        bool no_signature;
        uint64_t max_age;
        char *state, *previous, *time;
        /* show */
        unsigned vcpus;
        bool html;
        char *vcpu_type;
        /* export */
        char *uri, *tag;
        RefsExport format;
        VerbCommon common;
} RefsArguments;

/* A positive result besides 0: the program's exit status. */
#define REFS_NOT_AUTHENTIC 2
#define REFS_NOT_MET       3
#define REFS_NO_VERDICT    4

/* The file's text; owned. */
_warn_unused_result_ int refs_read(const char *path, char **ret, size_t *ret_size, char **reterr);
/* The bundle in it, with --signer and --threshold where they were given. */
_warn_unused_result_ int refs_open(const RefsArguments *a, const char *path, RefsFile *ret, char **reterr);
/* Rows agree with their families, ID blocks with their rows: 0, or -ESTALE with an error message. Nothing that contradicts itself is passed on. */
_warn_unused_result_ int refs_check_sound(const RefsBundle *b, char **reterr);
/* The bundle's name for a terminal; owned. NULL: memory is short. */
char *refs_title(const RefsBundle *b);
/* To --output, or to standard output. */
_warn_unused_result_ int refs_write(const RefsArguments *a, const char *text, size_t size, char **reterr);
/* 2 for what is not authentic, 3 for what is too old or contradicts itself; else r. */
int refs_status(int r, char **reterr);

/* What b keeps of a bundle that it is built from, unless an option replaces it. asked: what the options expect of machines. -EINVAL if bundles
 * differ in it. */
_warn_unused_result_ int refs_inherit(const RefsArguments *a, const RefsBundle *asked, RefsBundle *b,
                const RefsBundle *from, char **reterr);
int refs_build(const RefsArguments *a, char **words, char **reterr);
int refs_sign(const RefsArguments *a, char **words, char **reterr);
int refs_verify(const RefsArguments *a, char **words, char **reterr);
int refs_show_html(const RefsArguments *a, const RefsFile *f);
int refs_learning(const RefsArguments *a, char **words, char **reterr);
int refs_compare(const RefsArguments *a, char **words, char **reterr);
int refs_show(const RefsArguments *a, char **words, char **reterr);
