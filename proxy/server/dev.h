/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel run --dev`: takes up the configuration and filter files as soon as they are saved, and
 * has errors of filters told to peers who may see them. Main thread.
 *
 * The files' stamps are looked at again and again instead of asking the kernel to tell: so writes,
 * renames and links are seen alike, on every file system. A file counts when two looks in a row saw
 * the same, so that half a save isn't taken up. */
#ifndef LT_SERVER_DEV_H
#define LT_SERVER_DEV_H

#include "base/defs.h"

struct lt_dev;
struct lt_gateway;

/* Begins to watch what g has taken up. Returns owned, NULL without memory. */
struct lt_dev *lt_dev_new(struct lt_gateway *g) LT_MUST_CHECK;
/* NULL is fine. */
void lt_dev_free(struct lt_dev *dev);

#endif
