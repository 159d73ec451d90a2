/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's journal, sent to the host: --forward-journal= and its limits. */

#include "config-rules.h"
#include "strutil.h"

/* A file, else a directory of them. */
bool vm_config_journal_is_file(const VmConfig *c) {
        return endswith(c->forward_journal, ".journal");
}

/* A function of the command line alone: under --coco= it is part of the launch digest. */
uint32_t vm_config_journal_port(const VmConfig *c) {
        return c->vsock_cid ?: vm_config_cid(c->machine, 0);
}

bool journal_limits_alone(const VmConfig *c) {
        return !c->forward_journal &&
                        (c->journal_max_use || c->journal_keep_free || c->journal_max_file_size ||
                                        c->journal_max_files);
}

bool journal_without_vsock(const VmConfig *c) {
        return c->forward_journal && c->vsock == VSOCK_NO;
}

bool journal_empty(const VmConfig *c) {
        return c->forward_journal && !*c->forward_journal;
}
