/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For td-pcs*.c only. */

#include "td-pcs.h"

/* 1: the bytes verify up to k->root and are what the item says; 0: they are not; -ENOMEM. */
_warn_unused_result_ int td_pcs_judge(
                const TdPcs *k, const TdPcsItem *item, const void *p, size_t n, TdPcsKept *ret_dates);
