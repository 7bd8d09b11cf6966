/* SPDX-License-Identifier: Apache-2.0 */
/* Peers whose machine is gone without a word: the kernel asks for them. Any thread. */
#ifndef LT_NET_VANISHED_H
#define LT_NET_VANISHED_H

#include "base/defs.h"

/* fd is a TCP socket. Its peer counts as gone, and the connection fails with ETIMEDOUT, when data
 * or probes were not acknowledged for ms (at least 6000): TCP_USER_TIMEOUT, SO_KEEPALIVE with
 * probes from half of that silence on. A peer that closes its window for so long is taken for gone
 * too. On a listening socket: for those that it accepts from then on. What the kernel refuses is
 * left as it was; other sockets too. */
void lt_vanished_after(int fd, uint64_t ms);

#endif
