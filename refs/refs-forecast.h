/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a host's software does to launch digests: which version of the kernel and of QEMU starts vCPUs how (refs-forecast-facts.c), and what another firmware
 * image makes of a launch. The new digest follows from a bundle's families and kernel hashes; no kernel and no initrd is needed. */

#include "measure-firmware.h"
#include "refs-bundle.h"

/* Of Linux or QEMU. */
typedef struct SoftwareVersion {
        unsigned major, minor, patch;
} SoftwareVersion;

/* "6.12.43-1-amd64", "6.10", "10.0.2+ds-2": 0, or -EINVAL. */
_warn_unused_result_ int software_version_parse(const char *s, SoftwareVersion *ret);

/* X(enumerator, name) */
#define FORECAST_SUBJECTS(X)                                                                                \
        X(FORECAST_KERNEL, "kernel")                                                                        \
        X(FORECAST_QEMU, "qemu")                                                                            \
        X(FORECAST_FIRMWARE, "firmware")

#define FORECAST_ENUMERATOR(id, name) id,
typedef enum ForecastSubject {
        FORECAST_SUBJECTS(FORECAST_ENUMERATOR) _FORECAST_SUBJECT_MAX,
        _FORECAST_SUBJECT_INVALID = -22,
} ForecastSubject;

const char *forecast_subject_to_string(ForecastSubject s);

/* A fact about versions in a range: launches that one profile describes are started as another one says, with more or fewer features, or not at all. */
typedef struct ForecastFact {
        ForecastSubject subject;
        SoftwareVersion from, before; /* before 0: no end */
        unsigned modes;               /* 1 << CocoMode */
        VmmProfile is, becomes;       /* `becomes` in place of `is`; equal: the profile stays */
        uint64_t added, removed;      /* of the features */
        bool refused;                 /* does not start such guests */
        const char *text, *source;
} ForecastFact;

const ForecastFact *forecast_facts(size_t *ret_n);

typedef struct ForecastFirmware {
        const char *name;           /* borrowed; without folders */
        const char *sha256;         /* borrowed; hex */
        const FirmwareImage *image; /* borrowed; NULL: only its hash is known */
} ForecastFirmware;

/* The host as it will be. */
typedef struct ForecastHost {
        const SoftwareVersion *kernel, *qemu; /* NULL: not known */
        const ForecastFirmware *firmware;
        size_t n_firmware;
} ForecastHost;

typedef struct ForecastChange {
        const RefsLaunch *launch; /* weak */
        ForecastSubject subject;
        const ForecastFact *fact;         /* weak; NULL: another firmware */
        const ForecastFirmware *firmware; /* weak, or NULL */
        /* The digest of the first row when all changes of its launch have happened. */
        bool known;
        LaunchDigest then;
} ForecastChange;

typedef struct Forecast {
        ForecastChange *changes; /* owned; those of one launch one after another */
        size_t n;
} Forecast;

void forecast_done(Forecast *f);
_warn_unused_result_ int forecast_make(const RefsBundle *b, const ForecastHost *host, Forecast *ret);
/* Does a launch have a firmware image of this name? */
bool forecast_names_firmware(const RefsBundle *b, const char *name);
