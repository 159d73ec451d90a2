/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* cvmspawn extract: the files that it writes, and the child that reads what strangers wrote. */

#include "container.h"
#include "crypto-hash.h"
#include "image.h"
#include "json.h"
#include "process.h"
#include "verb.h"

typedef struct Arguments {
        VerbCommon common;
        char *output, *format, *kernel, *entry, *subvolume;
        char **backing;                      /* [FORMAT:]PATH */
        char *oci, *registry, *image, *path; /* a file of a container image */
        unsigned partition;
        bool list;
        unsigned kernel_fd, initrd_fd; /* of a program of ours that wants the files there; 0: none */
} Arguments;

/* --- extract-reader.c: a confined child ------------------------------------------------------------------------------ */

typedef struct ReaderJob {
        int image; /* weak */
        ImageKind kind;
        const VolumeHelper *helper; /* weak, or NULL */
        const char *kernel, *entry; /* weak, or NULL */
        unsigned partition;
        bool list;                  /* entries only; no file is copied */
        ContainerSource *container; /* weak; in place of a disk image: the file `path` of the image `name` */
        const char *name, *path;    /* weak; name: or NULL */
} ReaderJob;

typedef struct Reader {
        Process process;
        int report, kernel, initrd; /* owned; pipes but for the first */
} Reader;

#define READER_NONE ((Reader) { PROCESS_NONE, -EBADF, -EBADF, -EBADF })

_warn_unused_result_ int reader_start(const ReaderJob *job, Reader *ret, char **reterr);
/* When both pipes are at their end: what was found, or why nothing was. */
_warn_unused_result_ int reader_finish(Reader *r, Json **ret, char **reterr);
void reader_done(Reader *r);

/* --- extract-foreign.c: programs of other projects, confined to the files that they are given -------------------------- */

#define FOREIGN_FILES_MAX 16u

typedef struct ForeignRun {
        const char *program; /* weak */
        char *const *argv;
        int files[FOREIGN_FILES_MAX]; /* weak; it opens them for reading as /proc/self/fd/N */
        size_t n_files;
        int write, out;    /* weak; a file that it opens for writing, its standard output; -EBADF: none */
        uint64_t file_max; /* what it may write; 0: no limit */
} ForeignRun;

/* *ret is owned. -ENOPKG with an error message that names the package. */
_warn_unused_result_ int foreign_find(const char *program, const char *package, char **ret, char **reterr);
/* Waits for its end. */
_warn_unused_result_ int foreign_run(const ForeignRun *run, char **reterr);

/* --- extract-convert.c: formats, and qemu-img ------------------------------------------------------------------------- */

typedef enum DiskFormat {
        DISK_RAW,
        DISK_QCOW2,
        DISK_VMDK,
        DISK_VHDX,
        DISK_VDI,
        DISK_VPC,
        _DISK_FORMAT_MAX,
} DiskFormat;

#define DISK_LAYERS_MAX FOREIGN_FILES_MAX

typedef struct DiskLayer {
        int fd; /* owned, but for the first */
        DiskFormat format;
} DiskLayer;

/* An image, the file that it is based on, and so on. */
typedef struct DiskChain {
        DiskLayer layers[DISK_LAYERS_MAX];
        size_t n;
} DiskChain;

const char *disk_format_to_string(DiskFormat f);
/* By what the user says: the option, or the name that the user gave the file. Never by its bytes. */
DiskFormat disk_format_of(const char *name, const char *path);
/* A regular file or a block device, or -errno with an error message. */
_warn_unused_result_ int disk_open(const char *path, char **reterr);
_warn_unused_result_ int disk_chain_open(
                int image, DiskFormat format, char *const *backing, DiskChain *ret, char **reterr);
void disk_chain_done(DiskChain *c);
/* A descriptor of a raw image without a name, or -errno with an error message. */
_warn_unused_result_ int disk_convert(const DiskChain *c, char **reterr);

/* --- extract-helper.c: who starts grub-fstest for the reader ----------------------------------------------------------- */

typedef struct HelperJob {
        const char *grub; /* weak */
        int image;        /* weak */
        DiskFormat format;
        bool nameless; /* the image is a raw one of disk_convert() */
} HelperJob;

typedef struct Helper {
        Process process;
        int socket, scratch; /* owned */
} Helper;

#define HELPER_NONE ((Helper) { PROCESS_NONE, -EBADF, -EBADF })

/* `job` must stay. */
_warn_unused_result_ int helper_start(const HelperJob *job, Helper *ret, char **reterr);
/* When the reader has ended. */
void helper_done(Helper *h);
VolumeHelper helper_volume(const Helper *h, const char *subvolume);

/* --- extract-output.c: files that are there whole or not at all ------------------------------------------------------ */

#define OUTPUT_FILES 3u

typedef struct OutputFile {
        const char *name;
        int fd;          /* owned */
        char *temporary; /* owned; NULL: the file has no name yet */
        bool there;      /* under its name */
} OutputFile;

typedef struct Output {
        char *path;    /* owned; of the directory */
        int directory; /* owned; -EBADF: nothing is written */
        bool made;
        OutputFile files[OUTPUT_FILES];
        size_t n_files;
        bool kept; /* by the caller, once everything has succeeded */
} Output;

#define OUTPUT_NONE ((Output) { .directory = -EBADF })

/* path: NULL, nothing is written. */
_warn_unused_result_ int output_open(const char *path, Output *ret, char **reterr);
/* A file that is not there yet; *ret_fd is borrowed, -EBADF where nothing is written. */
_warn_unused_result_ int output_add(Output *o, const char *name, int *ret_fd, char **reterr);
/* Gives them their names; they are removed again unless the caller sets `kept`. */
_warn_unused_result_ int output_keep(Output *o, char **reterr);
/* Removes what was not kept. */
void output_done(Output *o);

typedef struct Copied {
        uint64_t size;
        uint8_t sha256[SHA256_SIZE];
} Copied;

/* From a pipe, to its end; to: or -EBADF. */
_warn_unused_result_ int output_copy(int from, int to, const char *name, Copied *ret, char **reterr);
/* "written": the paths of the files. */
_warn_unused_result_ int output_list(const Output *o, Json *j);

/* --- extract-container.c: --oci= and --registry= --------------------------------------------------------------------- */

_warn_unused_result_ int extract_container(const Arguments *a, Output *output, Json **ret, char **reterr);

/* --- extract-print.c ------------------------------------------------------------------------------------------------- */

_warn_unused_result_ int extract_print(const Arguments *a, const char *image, const Json *j);
_warn_unused_result_ int extract_print_container(const Arguments *a, const Json *j);
/* What somebody who wants to launch it should know, on standard error. */
void extract_warn(const Json *j, bool list);
