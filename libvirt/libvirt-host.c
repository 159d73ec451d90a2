/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libvirt-client.h"

int libvirt_own_name(char **ret) {
        char name[HOST_NAME_MAX + 1] = {};

        if (gethostname(name, sizeof(name) - 1) < 0)
                return -errno;
        *ret = strdup(name);
        return *ret ? 0 : -ENOMEM;
}

static const char *first_with_dot(const struct hostent *h) {
        if (strchr(h->h_name, '.'))
                return h->h_name;
        for (char **alias = h->h_aliases; alias && *alias; alias++)
                if (strchr(*alias, '.'))
                        return *alias;
        return h->h_name;
}

int libvirt_resolved_name(char **ret) {
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        _cleanup_free_ char *name = NULL;
        struct addrinfo *list = NULL;
        struct hostent host, *found = NULL;
        char buffer[8192];
        int r, error;

        r = libvirt_own_name(&name);
        if (r < 0)
                return r;
        if (getaddrinfo(name, NULL, &hints, &list) == 0 && list) {
                const void *address = list->ai_addr;
                bool v4 = list->ai_family == AF_INET;

                address = v4 ? (const void *) &((const struct sockaddr_in *) address)->sin_addr
                             : (const void *) &((const struct sockaddr_in6 *) address)->sin6_addr;
                if (gethostbyaddr_r(address, v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr),
                                    list->ai_family, &host, buffer, sizeof(buffer), &found, &error) != 0)
                        found = NULL;
        }
        *ret = strdup(found ? first_with_dot(found) : name);
        if (list)
                freeaddrinfo(list);
        return *ret ? 0 : -ENOMEM;
}
