/* SPDX-License-Identifier: Apache-2.0 */
/* From an accepted socket to a front: limits, TLS, counters. A worker's thread. */
#ifndef LT_SERVER_ACCEPT_H
#define LT_SERVER_ACCEPT_H

#include "base/addr.h"

/* lt_listener_accept_fn: owner is the struct lt_worker_listener. Takes fd. */
void lt_accept(void *owner, int fd, const struct lt_addr *peer);

#endif
