/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config.h"

/* What a storage provider is asked for; owned, NULL: nothing is said of it. */
typedef struct VolumeSource {
        char *provider, *name, *template, *create, *request_as;
        uint64_t size; /* of a new one; 0: not said */
        Tristate read_only;
        bool read_only_set;
} VolumeSource;
void volume_source_free(VolumeSource *v);
