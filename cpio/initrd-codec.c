/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

int initrd_codec_unreadable(int r, char **reterr) {
        if (r == -ENODATA)
                return initrd_codec_damaged("it is cut off", reterr);
        return error_set(reterr, r, "cannot read the file: %s", strerror(-r));
}

int initrd_codec_damaged(const char *why, char **reterr) {
        return error_set(reterr, -EBADMSG, "the compressed data is damaged: %s", why);
}

int initrd_unpack(InitrdUnpack *u, char **reterr) {
        _cleanup_free_ uint8_t *out = malloc(INITRD_INPUT_WINDOW);

        if (!out)
                return -ENOMEM;
        for (;;) {
                size_t n, left, room = INITRD_INPUT_WINDOW;
                const uint8_t *p;
                int ended, r;

                r = initrd_input_get(u->in, u->pos, &p, &n);
                if (r < 0)
                        return initrd_codec_unreadable(r, reterr);
                left = n;
                ended = u->step(u->codec, p, &left, out, &room, reterr);
                if (ended < 0)
                        return ended;
                u->pos += n - left;
                r = room < INITRD_INPUT_WINDOW ? u->sink(out, INITRD_INPUT_WINDOW - room, u->userdata) : 0;
                if (r != 0 || ended > 0)
                        return r < 0 ? r : r > 0;
        }
}
