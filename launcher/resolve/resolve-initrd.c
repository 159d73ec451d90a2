/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd as the guest gets it: the files given, one after another, and the credentials' cpio last. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cpio-merge.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "resolve-uki.h"
#include "strutil.h"

typedef struct Sources {
        InitrdSource *items; /* owned, with their descriptors */
        size_t n_items;
} Sources;

static void sources_done(Sources *s) {
        FOREACH_ARRAY(i, s->items, s->n_items)
                (void) fd_close(i->fd);
        free(s->items);
}

/* The initrd inside a unified kernel image comes first, as systemd-stub has it. */
static int open_uki_initrd(const VmConfig *config, const Uki *uki, Sources *s, char **reterr) {
        InitrdSource *i = s->items;

        if (!uki || !uki->found || !uki->initrd.present || uki->initrd.size == 0)
                return 0;
        *i = (InitrdSource) {
                .path = config->linux_path,
                .offset = uki->initrd.offset,
                .size = uki->initrd.size,
                .part = true,
                .fd = fcntl(uki->fd, F_DUPFD_CLOEXEC, 3),
        };
        if (i->fd < 0)
                return error_set(reterr, -errno, "--linux: cannot open '%s' again: %m", config->linux_path);
        s->n_items++;
        return 0;
}

static int open_sources(const VmConfig *config, const Uki *uki, Sources *s, char **reterr) {
        int r;

        s->items = calloc(strv_length(config->initrds) + 2, sizeof(InitrdSource));
        if (!s->items)
                return -ENOMEM;
        r = open_uki_initrd(config, uki, s, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(path, config->initrds) {
                InitrdSource *i = s->items + s->n_items;

                i->path = *path;
                i->fd = resolve_open("initrd", *path, &i->size, reterr);
                if (i->fd < 0)
                        return i->fd;
                s->n_items++;
                if (i->size == 0)
                        return error_set(reterr, -EBADMSG, "--initrd: '%s' is empty", *path);
        }
        return 0;
}

/* The merged file as parts of the plan, the zero bytes between segments included. */
static int add_parts(LaunchInputs *in, const Sources *s, const InitrdSegment *segments, size_t n) {
        uint64_t position = 0;

        FOREACH_ARRAY(segment, segments, n) {
                const char *label = segment->source == INITRD_SOURCE_CREDENTIALS
                                ? "credentials"
                                : s->items[segment->source].path;
                int r = 0;

                if (segment->offset > position)
                        r = plan_input_add(&in->plan.initrd, "padding", LAUNCH_FD_INITRD, position,
                                        segment->offset - position);
                if (r >= 0)
                        r = plan_input_add(&in->plan.initrd, label, LAUNCH_FD_INITRD, segment->offset,
                                        segment->length);
                if (r < 0)
                        return r;
                position = segment->offset + segment->length;
        }
        return 0;
}

static int copy_later(InitrdSource *source, uint64_t at, LaunchInputs *in) {
        char *name;

        return launch_inputs_add_copy(in,
                        (LaunchCopy) { .to = LAUNCH_FD_INITRD,
                                        .at = at,
                                        .from = TAKE_FD(source->fd),
                                        .name = asprintf(&name, "initrd '%s'", source->path) < 0 ? NULL
                                                                                                 : name,
                                        .offset = source->offset,
                                        .size = source->size,
                                        .whole = !source->part });
}

static int merge(const CredentialSet *credentials, Sources *s, LaunchInputs *in, char **reterr) {
        _cleanup_(initrd_merged_done) InitrdMerged m = { .memfd = -EBADF };
        int r;

        r = initrd_layout(s->items, s->n_items, credentials, &m, reterr);
        if (r < 0)
                return r;
        r = launch_inputs_keep_fd(in, TAKE_FD(m.memfd), LAUNCH_FD_INITRD);
        if (r < 0)
                return r;
        if (asprintf(&in->initrd, "/proc/self/fd/%d", LAUNCH_FD_INITRD) < 0) {
                in->initrd = NULL;
                return -ENOMEM;
        }
        if (s->n_items == 0) {
                r = memfd_seal(LAUNCH_FD_INITRD);
                if (r < 0)
                        return error_set(reterr, r, "cannot seal the initrd's memory: %s", strerror(-r));
        }
        r = add_parts(in, s, m.segments, m.n_segments);
        for (size_t i = 0; i < s->n_items && r >= 0; i++)
                r = copy_later(s->items + i, m.segments[i].offset, in);
        return r;
}

/* One file and nothing to append: QEMU reads it where it is. */
static int pass_on(const VmConfig *config, Sources *s, LaunchInputs *in, char **reterr) {
        InitrdSource *i = s->items;
        int r = plan_input_add(&in->plan.initrd, i->path, LAUNCH_FD_INITRD, 0, i->size);

        if (r < 0)
                return r;
        return resolve_pass_on(config, "initrd", i->path, TAKE_FD(i->fd), i->size, LAUNCH_FD_INITRD, in,
                        &in->initrd, reterr);
}

/* Real initrds unpack to at most some ten times their size, and the kernel needs that twice: with less memory it is worth a look. */
#define UNPACKED_MAX 16u
/* With that little the firmware counts, too, and a small initrd is scanned in no time. */
#define LITTLE_MEMORY (UINT64_C(320) << 20)

static bool may_not_fit(const VmConfig *config, const Sources *s) {
        uint64_t size = 0;

        FOREACH_ARRAY(i, s->items, s->n_items)
                size += i->size;
        return size > 0 &&
                        (config->ram <= LITTLE_MEMORY || size > config->ram / (UINT64_C(2) * UNPACKED_MAX));
}

int resolve_initrd(const VmConfig *config, const ResolveOptions *options, const CredentialSet *credentials,
                LaunchInputs *in, char **reterr) {
        _cleanup_(sources_done) Sources s = {};
        bool append = in->transport == TRANSPORT_INITRD && credentials->n_items > 0;
        int r;

        r = open_sources(config, options->uki, &s, reterr);
        if (r < 0)
                return r;

        if (s.n_items == 0 && !append)
                return 0;
        in->scan = append && s.n_items > 0;
        in->scan_memory = !in->scan && may_not_fit(config, &s);
        if (s.n_items == 1 && config->initrds && !append &&
                        (!options->for_launch || !vm_config_sealed(config)))
                return pass_on(config, &s, in, reterr);
        return merge(append ? credentials : NULL, &s, in, reterr);
}
