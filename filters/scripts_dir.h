/* SPDX-License-Identifier: Apache-2.0 */
/* Where the filters lie that come with Lintel. */
#ifndef LT_FILTERS_SCRIPTS_DIR_H
#define LT_FILTERS_SCRIPTS_DIR_H

#include "base/arena.h"

/* Beside the program: "scripts" in the folder it was built in, "../share/lintel/scripts" where it
 * is installed, wherever that was moved to; else the folder that it was configured for. False
 * without memory. Any thread. */
bool lt_scripts_dir(struct lt_arena *arena, struct lt_str *dir) LT_MUST_CHECK;

#endif
