/* SPDX-License-Identifier: Apache-2.0 */
/* Sets what the kernel does about peers that are gone (RFC 1122 §4.2.3.6, RFC 5482). */
#include "net/vanished.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define PROBES 3 /* in the second half of the time; TCP_USER_TIMEOUT decides, not their number */

static void set(int fd, int level, int option, int value)
{
    int result = setsockopt(fd, level, option, &value, sizeof(value));
    (void)result; /* then time-outs of ours do it, later */
}

void lt_vanished_after(int fd, uint64_t ms)
{
    int s = (int)lt_min(ms / 1000, UINT64_C(32000)); /* the kernel takes no more */
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, s / 2);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, s / 2 / PROBES);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)lt_min(ms, (uint64_t)INT32_MAX));
}
