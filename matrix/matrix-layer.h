/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One layer of a guest: what stands below "defaults", a template or a guest. */

#include "json.h"
#include "matrix-file.h"

#define LAYER_UNSET UINT32_MAX

typedef struct Layer {
        char *name, *extends;          /* owned, or NULL */
        Json *options;                 /* owned, or NULL: an object */
        Json *arguments;               /* owned, or NULL: an array of texts */
        unsigned expect_status, retry; /* LAYER_UNSET: not said */
} Layer;

#define LAYER_NONE ((Layer) { .expect_status = LAYER_UNSET, .retry = LAYER_UNSET })

void layer_done(Layer *l);
/* Members that a layer does not have are refused. named: it is a guest's, and has a name. */
_warn_unused_result_ int layer_read(const Json *j, bool named, Layer *ret, char **reterr);
/* What is in `over` replaces what is in `l`. */
_warn_unused_result_ int layer_put(Layer *l, const Layer *over);
/* What cvmspawn is called with. The machine has the guest's name, as far as machines can, so that each guest has a control socket. */
_warn_unused_result_ int layer_arguments(const Layer *l, const char *name, char ***ret);
/* Fit to be the name of a file. */
bool layer_name_valid(const char *name);
/* Not one of those that a guest of a matrix cannot have. */
_warn_unused_result_ int layer_check_argument(const char *argument, char **reterr);
