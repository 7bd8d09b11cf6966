/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how we are (sd_notify's protocol): a datagram to the Unix socket that
 * the environment names in NOTIFY_SOCKET. Supervisor. */
#ifndef LT_SERVER_NOTIFY_H
#define LT_SERVER_NOTIFY_H

#include "base/defs.h"

/* Looks NOTIFY_SOCKET up and takes it out of the environment, so that the gateway doesn't see it.
 */
void lt_notify_init(void);

/* Sends "NAME=value" lines, "READY=1". Does nothing when nobody listens. */
void lt_notify(const char *state);

/* "RELOADING=1" with the clock that systemd wants beside it. */
void lt_notify_reloading(void);

#endif
