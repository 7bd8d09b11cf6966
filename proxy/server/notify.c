/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify's protocol: one datagram per change, to a path or an abstract name ("@..."). */
#include "server/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define PATIENCE_US 500000

static struct sockaddr_un address;
static socklen_t address_len; /* 0: nobody listens */

void lt_notify_init(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    address_len = 0;
    if (name == NULL) {
        return;
    }
    size_t len = strlen(name);
    if ((name[0] == '/' || name[0] == '@') && len > 1 && len < sizeof(address.sun_path)) {
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, name, len);
        if (name[0] == '@') {
            address.sun_path[0] = '\0';
        }
        address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    unsetenv("NOTIFY_SOCKET");
}

void lt_notify(const char *state)
{
    if (address_len == 0) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    /* A service manager that doesn't read, or is gone, is no reason to stop: it is waited for a
     * moment, and no more while it stays like that. */
    static bool stuck;
    const struct timeval patience = {.tv_usec = PATIENCE_US};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    ssize_t n = sendto(fd, state, strlen(state), MSG_NOSIGNAL | (stuck ? MSG_DONTWAIT : 0),
                       (const struct sockaddr *)(const void *)&address, address_len);
    stuck = n < 0 && errno == EAGAIN;
    close(fd);
}

void lt_notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)lt_clock_us());
    lt_notify(state);
}
