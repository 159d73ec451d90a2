/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* As much of GRUB's script language (GNU GRUB manual, "Writing full configuration files directly") as generated grub.cfg files need: words with quotes and
 * variables, set, conditions on strings, menu entries. Nothing else is executed; a condition that cannot be known is false. */

#include "volume.h"

#define GRUB_VALUE_MAX     4096u
#define GRUB_VARIABLES_MAX 256u
#define GRUB_WORD_MAX      (16u * 1024u)
#define GRUB_WORDS_MAX     512u
#define GRUB_MENU_MAX      512u /* entries */
#define GRUB_DEPTH_MAX     16u  /* of menus and conditions */

typedef struct GrubVariable {
        char *name, *value; /* owned */
} GrubVariable;

typedef struct GrubEnv {
        GrubVariable *items; /* owned */
        size_t n_items;
} GrubEnv;

void grub_env_done(GrubEnv *env);
const char *grub_env_get(const GrubEnv *env, const char *name); /* NULL: unset */
_warn_unused_result_ int grub_env_set(GrubEnv *env, const char *name, const char *value);
/* The block of 1024 bytes that grub-editenv writes ("# GRUB Environment Block"). */
_warn_unused_result_ int grub_env_parse(char *text, GrubEnv *env);
/* That of a volume, if it has one. */
_warn_unused_result_ int grub_env_read(Volume *v, GrubEnv *env);
/* $name and ${name} in a text without quotes; what is unset is empty. Replaces *text. */
_warn_unused_result_ int grub_env_expand(const GrubEnv *env, char **text);

typedef struct GrubEntry {
        char *title, *id; /* owned; id: or NULL */
        char *position;   /* owned: "0", "1>2" */
        char **linux_; /* owned: words after linux, linuxefi ... of the command that is executed; NULL: none */
        char **initrd;    /* owned */
        const char *body; /* borrowed while it is parsed */
        size_t n_body;
} GrubEntry;

typedef struct GrubMenu {
        GrubEntry *items; /* owned */
        size_t n_items;
        GrubEnv env; /* at the end of the script */
} GrubMenu;

void grub_menu_done(GrubMenu *m);
/* env: what load_env would find; copied. -EBADMSG, -E2BIG with an error message. */
_warn_unused_result_ int grub_menu_parse(const char *text, const GrubEnv *env, GrubMenu *ret, char **reterr);
/* Whether this is what the variable `default` names. */
bool grub_menu_is_default(const GrubMenu *m, const GrubEntry *e);
