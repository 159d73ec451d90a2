/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the scanner share and nobody else includes. */

#include "cpio-newc.h"
#include "initrd-input.h"
#include "initrd-scan.h"

typedef struct Scanner {
        InitrdInput input;
        InitrdInfo info;
        InitrdPart part; /* the current one */
        NewcParser newc;
        uint64_t n_members, content;
        char **obstacles; /* owned: NAME.cred, wherever something of that name prevents a file from being made */
        size_t n_obstacles;
        initrd_member_t callback; /* or NULL */
        void *userdata;
        char **reterr;
} Scanner;

/* A NewcParser's callback; userdata is the Scanner. */
int initrd_take_member(const NewcMember *m, void *userdata);
