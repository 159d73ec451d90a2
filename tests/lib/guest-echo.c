/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* guest-echo INTERFACE PORT: inside a test guest without network tools, takes the address that QEMU's user network forwards to (10.0.2.15,
 * QEMU documentation, "Using the user mode network stack"), says "listening", answers one TCP connection with what it sends, and ends. */

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address(const char *text, unsigned port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };

        if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
                abort();
        return a;
}

static int configure(const char *interface) {
        struct sockaddr_in own = address("10.0.2.15", 0), mask = address("255.255.255.0", 0);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = -1;
        struct ifreq request = {};

        if (fd < 0)
                return -1;
        (void) snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
        memcpy(&request.ifr_addr, &own, sizeof(own));
        if (ioctl(fd, SIOCSIFADDR, &request) >= 0) {
                memcpy(&request.ifr_netmask, &mask, sizeof(mask));
                r = ioctl(fd, SIOCSIFNETMASK, &request);
        }
        if (r >= 0) {
                r = ioctl(fd, SIOCGIFFLAGS, &request);
                request.ifr_flags |= IFF_UP;
        }
        if (r >= 0)
                r = ioctl(fd, SIOCSIFFLAGS, &request);
        (void) close(fd);
        return r;
}

int main(int argc, char *argv[]) {
        struct sockaddr_in any;
        char buffer[256];
        int server, fd;
        ssize_t n;

        if (argc != 3)
                return 2;
        if (configure(argv[1]) < 0) {
                perror(argv[1]);
                return 1;
        }
        any = address("0.0.0.0", (unsigned) atoi(argv[2]));
        server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (server < 0 || bind(server, (struct sockaddr *) &any, sizeof(any)) < 0 || listen(server, 1) < 0) {
                perror("listen");
                return 1;
        }
        puts("listening");
        (void) fflush(stdout);
        fd = accept(server, NULL, NULL);
        while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
                if (write(fd, buffer, (size_t) n) != n)
                        return 1;
        return fd < 0;
}
