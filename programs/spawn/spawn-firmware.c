/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --firmware=list and describe: which descriptors exist, and which of them a launch with these options uses. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "firmware-descriptor.h"
#include "log.h"
#include "resolve.h"
#include "spawn.h"
#include "strutil.h"

static int list(const FirmwareList *l) {
        if (l->n_items == 0)
                log_notice("no firmware descriptor found (cvmspawn(1) lists the directories); name an image with --firmware=PATH");
        FOREACH_ARRAY(d, l->items, l->n_items) {
                _cleanup_free_ char *features = strv_join(d->features, ",");

                if (!features)
                        return -ENOMEM;
                if (d->problem)
                        printf("%s\n        cannot be used: %s\n", d->path, d->problem);
                else
                        printf("%s\n        %s\n        image: %s\n        features: %s\n", d->path,
                                        d->description, d->executable, features);
        }
        return 0;
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Each once, sorted. */
static int list_features(const FirmwareList *l) {
        _cleanup_strv_free_ char **names = NULL;
        int r = 0;

        FOREACH_ARRAY(d, l->items, l->n_items)
                STRV_FOREACH(f, d->features)
                        if (r >= 0 && !strv_contains(names, *f))
                                r = strv_push(&names, *f);
        if (r < 0)
                return r;
        if (names)
                qsort(names, strv_length(names), sizeof(char *), by_name);
        STRV_FOREACH(n, names)
                puts(*n);
        return 0;
}

int spawn_firmware(const VmConfig *config, char **reterr) {
        _cleanup_(firmware_list_done) FirmwareList l = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        _cleanup_strv_free_ char **directories = NULL;
        _cleanup_free_ char *text = NULL;
        const ResolveOptions options = {};
        int r;

        if (config->firmware == FIRMWARE_LIST || config->list_firmware_features) {
                r = firmware_directories(getenv, &directories);
                if (r >= 0)
                        r = firmware_list_load(directories, &l, reterr);
                return r < 0 ? r : config->list_firmware_features ? list_features(&l) : list(&l);
        }

        r = resolve_firmware_alone(config, &options, &in, reterr);
        if (r < 0)
                return r;
        r = file_read_all(in.firmware_descriptor, FIRMWARE_DESCRIPTOR_SIZE_MAX, &text, NULL);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", in.firmware_descriptor, strerror(-r));
        fputs(text, stdout);
        return 0;
}
