/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all disks have in common, and the extra ones. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "image-chain.h"
#include "image-header.h"
#include "resolve-parts.h"
#include "strutil.h"

int resolve_refuse(const ResolveOptions *options, LaunchInputs *in, char **reterr, const char *format, ...) {
        char *sentence;
        va_list ap;
        int k, r;

        va_start(ap, format);
        k = vasprintf(&sentence, format, ap);
        va_end(ap);
        if (k < 0)
                return -ENOMEM;
        if (!options->for_launch)
                return strv_consume(&in->notices, sentence);
        r = error_set(reterr, -EPERM, "%s", sentence);
        free(sentence);
        return r;
}

/* The image and the files that its header names are there, and are what the user named. */
static int look_at_chain(const ResolveDisk *d, ImageFormat format, LaunchInputs *in, char **reterr) {
        _cleanup_(image_chain_done) ImageChain chain = {};
        int r = image_chain_open(&(const ImageSource) { d->option, d->path, format, /* read_only= */ true },
                        d->config, &chain, reterr);

        if (r >= 0)
                in->image_files |= chain.files;
        return r;
}

/* A guest can write any signature to a raw disk. */
int resolve_disk_format(const ResolveDisk *d, LaunchInputs *in, ImageFormat *ret, char **reterr) {
        const char *signature = image_header_signature(d->fd);
        bool image = streq(d->option, "image");
        const char *made = image && signature && image_format_from_string(signature) ? signature : "qcow2";

        *ret = d->asked == IMAGE_FORMAT_AUTO ? IMAGE_FORMAT_RAW : d->asked;
        if (*ret != IMAGE_FORMAT_RAW || !signature)
                return look_at_chain(d, *ret, in, reterr);
        if (d->asked == IMAGE_FORMAT_AUTO)
                return error_set(reterr, -EPERM,
                                "--%s: '%s' begins with the signature of a %s image, which a guest can write to a raw disk: pass %s, or %s%s only if it was made as %s",
                                d->option, d->path, signature,
                                image ? "--image-format=raw" : "--extra-drive=raw:PATH",
                                image ? "--image-format=" : "--extra-drive=qcow2:PATH", image ? made : "",
                                made);
        return strv_pushf(&in->notices, "'%s' begins with the signature of a %s image; it is opened as raw",
                        d->path, signature);
}

static int resolve_extra_drive(const VmConfig *config, const DriveSource *drive,
                const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        const char *option = drive->volume ? "bind-volume" : "extra-drive";
        /* Of a volume nothing is opened before the rest of the launch is settled. */
        _cleanup_close_ int fd = drive->volume ? -EBADF
                                               : resolve_open_disk(option, drive->path,
                                                                 /* read_only= */ true, reterr);
        ImageFormat format;
        int r;

        if (fd < 0 && !drive->volume)
                return fd;
        r = drive->volume ? 0
                          : resolve_disk_format(&(ResolveDisk) { config, option, drive->path, fd,
                                                                drive->format },
                                            in, &format, reterr);
        if (r < 0 || !vm_config_confidential(config))
                return r;
        if (!(config->allow_untrusted & ALLOW_DISK))
                return resolve_refuse(options, in, reterr,
                                "--%s: the launch digest does not cover '%s'; to allow that, add --allow-untrusted=disk",
                                option, drive->path);
        return strv_pushf(&in->notices, "the launch digest does not cover the disk '%s'", drive->path);
}

int resolve_extra_drives(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        FOREACH_ARRAY(d, config->extra_drives, config->n_extra_drives) {
                int r = resolve_extra_drive(config, d, options, in, reterr);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < config->n_image_files; i++) {
                const ImageFile *f = config->image_files + i;

                if (!(in->image_files & (1u << i)))
                        return error_set(reterr, -EINVAL,
                                        "--%s: no qcow2 image names '%s' in its header; remove the option",
                                        f->data ? "data-file" : "backing-file", f->path);
        }
        return 0;
}
