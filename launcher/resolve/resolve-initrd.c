/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initrd as the guest gets it: the files given, one after another, and the credentials' cpio last. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpio-folder.h"
#include "cpio-merge.h"
#include "error.h"
#include "fd.h"
#include "initrd-compression.h"
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

        s->items = calloc(strv_length(config->initrds) + config->n_binds + 3, sizeof(InitrdSource));
        if (!s->items)
                return -ENOMEM;
        r = open_uki_initrd(config, uki, s, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(path, config->initrds) {
                InitrdSource *i = s->items + s->n_items;

                i->path = path == config->initrds && config->initrd_name ? config->initrd_name : *path;
                i->fd = resolve_open("initrd", *path, &i->size, reterr);
                if (i->fd < 0)
                        return i->fd;
                s->n_items++;
                if (i->size == 0)
                        return error_set(reterr, -EBADMSG, "--initrd: '%s' is empty", *path);
        }
        return 0;
}

/* init/initramfs.c: zero bytes are skipped, an archive begins with '0', and everything else has to be a compressor's. */
static int note_strange(const Sources *s, LaunchInputs *in) {
        FOREACH_ARRAY(i, s->items, s->n_items) {
                uint8_t head[2];
                int r;

                if (i->part || i->size < sizeof(head) ||
                                pread(i->fd, head, sizeof(head), (off_t) i->offset) != sizeof(head) ||
                                head[0] == 0 || head[0] == '0' || initrd_compression_from_magic(head) >= 0)
                        continue;
                r = strv_pushf(&in->notices,
                                "--initrd: '%s' begins neither like a cpio archive nor like compressed data: the guest's kernel will not unpack it",
                                i->path);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the initrd has a link to somewhere else, or where its init mounts something. */
static bool hidden(const char *target) {
        static const char *const folders[] = { "bin", "sbin", "lib", "lib64", "proc", "sys", "dev", "run",
                "tmp" };
        const char *first = target + strspn(target, "/");

        FOREACH_ARRAY(f, folders, ELEMENTSOF(folders)) {
                const char *rest = startswith(first, *f);

                if (rest && (*rest == 0 || *rest == '/'))
                        return true;
        }
        return false;
}

/* --bind-ro= of a confidential guest: no share, but an archive that is measured with the rest. */
static int add_folders(const VmConfig *config, Sources *s, char **reterr) {
        if (!vm_config_confidential(config))
                return 0;
        FOREACH_ARRAY(b, config->binds, config->n_binds) {
                InitrdSource *i = s->items + s->n_items;
                int fd;

                if (hidden(b->target))
                        return error_set(reterr, -EINVAL,
                                        "--bind-ro: '%s' would be hidden in the guest, or hide its own files; use a place such as /srv/NAME",
                                        b->target);
                fd = cpio_pack_folder(b->source, b->target, &i->size, reterr);
                if (fd < 0)
                        return error_prefix(reterr, fd, "--bind-ro");
                i->path = b->source;
                i->fd = fd;
                s->n_items++;
        }
        return 0;
}

static int add_adapter(const VmConfig *config, Sources *s, char **reterr) {
        InitrdSource *i = s->items + s->n_items;
        int fd;

        if (config->run && vm_config_n_shares(config) > 0)
                return error_set(reterr, -ENOTSUP,
                                "--run= with shared directories needs systemd 262 or later in the initrd, which mounts them: remove --bind= and --directory=, or use another initrd");
        fd = resolve_open_adapter(config, &i->size, reterr);
        if (fd < 0)
                return fd;
        i->path = "adapter";
        i->fd = fd;
        s->n_items++;
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
        return resolve_pass_on(config, "initrd", config->initrds[0], TAKE_FD(i->fd), i->size,
                        LAUNCH_FD_INITRD, in, &in->initrd, reterr);
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
        if (r >= 0)
                r = add_folders(config, &s, reterr);
        if (r < 0)
                return r;

        if (s.n_items == 0 && !append)
                return 0;
        in->adapter = append && options->adapter && s.n_items > 0;
        if (in->adapter) {
                r = add_adapter(config, &s, reterr);
                if (r < 0)
                        return r;
        }
        /* Looked into already, if there is an adapter. */
        in->scan = append && s.n_items > 0 && !in->adapter;
        if (!in->scan || !options->for_launch) {
                r = note_strange(&s, in);
                if (r < 0)
                        return r;
        }
        in->scan_memory = !in->scan && may_not_fit(config, &s);
        if (s.n_items == 1 && config->initrds && !append &&
                        (!options->for_launch || !vm_config_sealed(config)))
                return pass_on(config, &s, in, reterr);
        return merge(append ? credentials : NULL, &s, in, reterr);
}
