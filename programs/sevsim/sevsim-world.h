/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a command needs around it to run on the simulated SEV host: the library and the record in places that any user
 * can reach (QEMU may run as another one), a platform identity, and a description of the host for launchers. */

#include <stdbool.h>

#include "macro.h"
#include "verb.h"

typedef struct SevsimOptions {
        char *record; /* folder to keep, or NULL */
        char *platform; /* folder with an identity, made if it is not there; NULL: a separate one for this run */
        char *guest;      /* poweroff, block or reset; NULL: poweroff */
        char *sev_node;   /* MODE[:UID[:GID]] of the simulated /dev/sev, or NULL */
        char *expect;     /* lower-case hex, or NULL */
        char *faults;     /* NAME[@STEP],..., or NULL */
        char *generation; /* of a platform that is made; NULL: Genoa */
        char *listen;     /* folder of a host that this process is; or NULL */
        char *join;       /* folder of a host that is there; or NULL */
        bool host_caps;   /* print the description of the host and do nothing else */
        VerbCommon common;
} SevsimOptions;

typedef struct SevsimWorld {
        char *folder;  /* owned: temporary, removed with the world; NULL: none */
        char *library; /* owned */
        char *record;  /* owned */
        char *deliver; /* owned: where the record goes in the end, if QEMU's user cannot reach it; or NULL */
        char *platform;  /* owned */
        char *host_caps; /* owned: path */
        unsigned before; /* launches that the record holds already */
} SevsimWorld;

/* The simulated host as JSON, the way that `cvmspawn check-host --json` describes a real one; owned. */
_warn_unused_result_ int sevsim_host_caps(char **ret);

/* With all certificates, if there is none; generation is for a new one only, or NULL. */
_warn_unused_result_ int sevsim_place_platform(const char *folder, const char *generation, char **reterr);
_warn_unused_result_ int sevsim_world_make(const SevsimOptions *options, SevsimWorld *ret, char **reterr);
/* After the command: moves the record on to the folder that was asked for, where that was out of reach. */
_warn_unused_result_ int sevsim_world_deliver(SevsimWorld *world, char **reterr);
void sevsim_world_done(SevsimWorld *world);
/* The environment for the command: ours and what the library reads. */
_warn_unused_result_ int sevsim_world_env(
                const SevsimWorld *world, const SevsimOptions *options, char ***ret);
