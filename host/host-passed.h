/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "launch.h"

/* Puts what the service manager passed as "kvm" and "vhost-vsock" into caps; *ret_unknown is owned: the names of all else. */
_warn_unused_result_ int host_take_passed(HostCaps *caps, char ***ret_unknown);
