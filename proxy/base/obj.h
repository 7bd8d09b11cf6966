/* SPDX-License-Identifier: Apache-2.0 */
/* Magic numbers for objects that come back through a void pointer (libev, OpenSSL, Lua): the first
 * member is `uint32_t magic`, set at birth, checked on the way back, cleared at death. */
#ifndef LT_BASE_OBJ_H
#define LT_BASE_OBJ_H

#include "base/defs.h"

#include <assert.h>

#define LT_OBJ_INIT(obj, value) ((void)((obj)->magic = (value)))
#define LT_OBJ_CHECK(obj, value) assert((obj) != NULL && (obj)->magic == (value))
#define LT_OBJ_FINI(obj) ((void)((obj)->magic = 0xdeadbeefu))

#endif
