/* SPDX-License-Identifier: Apache-2.0 */
/* Where the value of an option comes from, as text for logs and hints. Loader thread. */
#ifndef LT_CONFIG_PLACE_H
#define LT_CONFIG_PLACE_H

#include "base/arena.h"
#include "config/schema.h"

/* "timeouts.idle (lintel.yaml:12)", "... (preset gunicorn)" or "... (default)" for row `path` of
 * obj, "a.b" is row b of the object in row a; NUL-terminated in arena. Only the last part of the
 * file's path is told. Empty without memory or without such a row. */
struct lt_str lt_config_place(struct lt_arena *arena, const void *obj, const char *path);

#endif
