/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The texts of boot loaders: loader entries, grub.cfg and grubenv, by the first byte. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "boot-entry.h"
#include "grub-script.h"
#include "strutil.h"

static void one_entry(char *text) {
        _cleanup_(boot_entry_done) BootEntry e = {};
        _cleanup_free_ char *error = NULL;

        if (boot_bls_parse("x.conf", text, &e, &error) < 0) {
                assert(error);
                return;
        }
        assert(e.kernel && strv_length(e.initrds) <= BOOT_INITRDS_MAX);
        /* The command line is one line, whatever the entry has. */
        for (const char *p = e.words; p && *p; p++)
                assert((unsigned char) *p >= ' ' && *p != 0x7f);
}

static void one_menu(const char *text) {
        _cleanup_(grub_menu_done) GrubMenu m = {};
        _cleanup_free_ char *error = NULL;

        if (grub_menu_parse(text, NULL, &m, &error) < 0) {
                assert(error);
                return;
        }
        assert(m.n_items <= GRUB_MENU_MAX && m.env.n_items <= GRUB_VARIABLES_MAX);
        FOREACH_ARRAY(e, m.items, m.n_items) {
                assert(e->title && e->position && !e->body);
                (void) grub_menu_is_default(&m, e);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(grub_env_done) GrubEnv env = {};
        _cleanup_free_ char *text = NULL;

        if (size == 0)
                return 0;
        text = strndup((const char *) data + 1, size - 1);
        assert(text);
        if (data[0] == 'b')
                one_entry(text);
        else if (data[0] == 'e')
                (void) !grub_env_parse(text, &env);
        else
                one_menu(text);
        return 0;
}
