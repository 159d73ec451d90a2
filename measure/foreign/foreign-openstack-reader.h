/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two files of OpenStack's reader share: the members of the answers, and Nova's rules for them. */

#include "foreign-openstack.h"

typedef struct OpenstackModel {
        const char *name, *object; /* "amd-sev-snp", "sev-snp-guest" */
        unsigned policy;
        bool hashes, vcpus; /* kernel hashes are on; the vCPUs are measured */
} OpenstackModel;

typedef struct OpenstackReader {
        const OpenstackInput *in;
        const ForeignOptions *o;
        const Json *properties, *specs; /* borrowed: of image and flavor */
        const OpenstackModel *model;
        OpenstackLine line;
        size_t stored_used; /* of in->stored */
        char **reterr;
} OpenstackReader;

/* A text, borrowed; *ret is NULL where there is none. The services' booleans are texts, too. */
_warn_unused_result_ int openstack_text_at(
                OpenstackReader *q, const Json *j, const char *key, const char **ret);
/* The members are known, and Nova starts such a server: sets properties, specs and model. */
_warn_unused_result_ int openstack_check(OpenstackReader *q);
/* The model that Nova states, borrowed; any where the user's own option stands for it, or nothing depends on it. */
_warn_unused_result_ int openstack_cpu(OpenstackReader *q, const char **ret);
/* foreign-openstack-glance.c: the file is what Glance stores under this ID, if an answer says it. path: NULL, only a hash was given. */
_warn_unused_result_ int openstack_compare_stored(
                OpenstackReader *q, const char *option, const char *id, const char *path);
/* Each answer was compared. */
_warn_unused_result_ int openstack_check_stored(OpenstackReader *q);
