/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* cvmspawn forecast. */

#include "refs-forecast.h"
#include "verb.h"

typedef struct ForecastArguments {
        char *against, *kernel, *qemu, *firmware, *host_caps;
        bool upgrade;
        VerbCommon common;
} ForecastArguments;

/* A firmware image with what ForecastFirmware borrows of it. */
typedef struct ForecastImage {
        char *name, *sha256; /* owned */
        FirmwareImage image;
} ForecastImage;

/* The host as it will be: as the options say, as another host reported it, or as apt would make this one. */
typedef struct ForecastWorld {
        char *kernel_name, *qemu_name; /* owned; NULL: not known */
        SoftwareVersion kernel, qemu;
        ForecastImage *images; /* owned */
        size_t n_images;
        ForecastFirmware *firmware;       /* owned; of them, as the forecast takes them */
        struct ForecastPackage *packages; /* owned; of --upgrade */
        size_t n_packages;
} ForecastWorld;

void forecast_world_done(ForecastWorld *w);
_warn_unused_result_ int forecast_world_find(const ForecastArguments *a, ForecastWorld *w, char **reterr);
/* The image's name is the path's without folders. */
_warn_unused_result_ int forecast_world_add_image(
                ForecastWorld *w, const char *option, const char *path, char **reterr);
/* -EINVAL with an error message if the name does not contain a version; `what` says where it is from. */
_warn_unused_result_ int forecast_world_set(ForecastWorld *w, ForecastSubject subject, const char *name,
                const char *what, char **reterr);

/* What a program writes on its standard output, run in `folder` (NULL: here) without translations. -ENOENT: it is not installed; -EIO with
 * an error message, its own last line, if it fails. */
_warn_unused_result_ int forecast_run(const char *folder, char *const *argv, char **ret, char **reterr);

/* A package whose version enters digests, by what apt says of it. */
typedef struct ForecastPackage {
        const char *name;
        ForecastSubject subject;     /* _INVALID: cvmspawn itself */
        char *installed, *candidate; /* owned; NULL: none */
} ForecastPackage;

/* Asks apt for candidates, and takes what differs from what is installed into the world: versions, and firmware images, which are downloaded and unpacked
 * in a temporary folder. */
_warn_unused_result_ int forecast_upgrade(const RefsBundle *b, ForecastWorld *w, char **reterr);
bool forecast_package_changes(const ForecastPackage *p);
