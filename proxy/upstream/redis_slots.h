/* SPDX-License-Identifier: Apache-2.0 */
/* Which slot of a cluster a command belongs to. */
#ifndef LT_UPSTREAM_REDIS_SLOTS_H
#define LT_UPSTREAM_REDIS_SLOTS_H

#include "base/str.h"

#define LT_REDIS_SLOTS 16384u

/* The slot of a key: CRC16 (XMODEM) of what stands between the first '{' and the next '}' if that
 * is not empty, else of all. */
unsigned lt_redis_slot(struct lt_str key);

/* The slot of the command's first key; LT_REDIS_SLOTS: it has none. */
unsigned lt_redis_command_slot(struct lt_str command);

#endif
