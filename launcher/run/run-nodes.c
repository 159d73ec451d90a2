/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-nodes.h"

#include <stdio.h>

#include "qmp-commands.h"

#define NODE_MAX 32u /* QEMU include/block/block_int-common.h: node_name[32], with its NUL */

int node_add_file(Session *s, const FileNode *file, char **reterr) {
        int set = (int) (NODE_SET_FIRST + s->n_fdsets++), r;
        Json *arguments = NULL;
        char path[32];

        /* QEMU opens /dev/fdset/SET and gets a duplicate of the descriptor. */
        r = js_build(&arguments, "{s:i}", "fdset-id", set);
        if (r >= 0)
                r = qmp_call_with_fd_wait(s->qmp, "add-fd", arguments, file->fd, NODE_USEC, NULL, reterr);
        if (r < 0)
                return r;
        (void) snprintf(path, sizeof(path), "/dev/fdset/%d", set);
        r = js_build(&arguments, "{s:s, s:s, s:s, s:b, s:s}", "driver",
                        file->block_device ? "host_device" : "file", "node-name", file->node, "filename",
                        path, "read-only", file->read_only, "discard", "unmap");
        if (r < 0)
                return r;
        return qmp_call_wait(s->qmp, "blockdev-add", arguments, NODE_USEC, NULL, reterr);
}

int node_add_format(Session *s, const FormatNode *f, char **reterr) {
        Json *arguments = NULL;
        int r = js_build(&arguments, "{s:s, s:s, s:s, s:b}", "driver", image_format_to_string(f->format),
                        "node-name", f->node, "file", f->file, "read-only", f->read_only);

        /* Never what the header says. */
        if (r >= 0 && (f->format == IMAGE_FORMAT_QCOW2 || f->format == IMAGE_FORMAT_VMDK))
                r = js_set(arguments, "backing", f->backing ? js_string(f->backing) : js_null());
        if (r >= 0 && f->data)
                r = js_set(arguments, "data-file", js_string(f->data));
        if (r >= 0 && s->request->config->discard_disk)
                r = js_set(arguments, "discard", js_string("unmap"));
        if (r < 0) {
                js_unref(arguments);
                return r;
        }
        return qmp_call_wait(s->qmp, "blockdev-add", arguments, NODE_USEC, NULL, reterr);
}

static void name_layer(const char *node, size_t i, char ret[static NODE_MAX]) {
        if (i == 0)
                (void) snprintf(ret, NODE_MAX, "%s", node);
        else
                (void) snprintf(ret, NODE_MAX, "%s-%zu", node, i);
}

/* What a layer stands on comes after it in the chain, and first here. */
int nodes_add_chain(Session *s, const ImageChain *chain, const char *node, char **reterr) {
        for (size_t i = chain->n_layers; i-- > 0;) {
                const ImageLayer *l = chain->layers + i;
                char name[NODE_MAX], file[NODE_MAX], backing[NODE_MAX], data[NODE_MAX];
                int r;

                name_layer(node, i, name);
                (void) snprintf(file, sizeof(file), "%.20s-file", name);
                name_layer(node, l->backing, backing);
                name_layer(node, l->data, data);
                r = node_add_file(
                                s, &(const FileNode) { file, l->fd, l->block_device, l->read_only }, reterr);
                if (r >= 0)
                        r = node_add_format(s,
                                        &(const FormatNode) { .node = name,
                                                        .file = file,
                                                        .format = l->format,
                                                        .backing = l->backing ? backing : NULL,
                                                        .data = l->data ? data : NULL,
                                                        .read_only = l->read_only },
                                        reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
