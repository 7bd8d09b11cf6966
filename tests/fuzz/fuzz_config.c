/* SPDX-License-Identifier: Apache-2.0 */
/* Whole configurations. Whatever is read, there is a configuration or there are messages, never
 * both or neither; and what is shown of a good one is a good one again. */
#include "server/root_conf.h"

#include <stdlib.h>

#include "config/dump.h"

#define SHOW_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void print_messages(struct lt_root_load *root)
{
    struct lt_buf out;
    lt_buf_init(&out, SHOW_MAX);
    lt_diags_print(&root->diags, &out);
    require(out.len > 0);
    lt_diags_json(&root->diags, &out);
    lt_buf_fini(&out);
}

static void show_again(const struct lt_root_load *root)
{
    struct lt_buf out;
    lt_buf_init(&out, SHOW_MAX);
    lt_config_show(root->conf, 0, NULL, &out);
    if (!out.truncated && out.len < LT_SOURCE_MAX) {
        struct lt_root_load *again =
            lt_root_load_text(LT_STR("again"), LT_STR("/x"), lt_buf_view(&out));
        require(again != NULL && again->conf != NULL);
        lt_root_load_free(again);
    }
    lt_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_str text = lt_str((const char *)data, size);
    /* Inputs must not open files of this machine. */
    if (lt_str_find(text, LT_STR("include")) != SIZE_MAX ||
        lt_str_find(text, LT_STR("\\")) != SIZE_MAX ||
        lt_str_find(text, LT_STR("file:")) != SIZE_MAX) {
        return 0;
    }
    struct lt_root_load *root = lt_root_load_text(LT_STR("fuzz"), LT_STR("/x"), text);
    require(root != NULL);
    require((root->conf != NULL) == (root->diags.errors == 0));
    if (root->conf != NULL) {
        show_again(root);
    } else {
        print_messages(root);
    }
    lt_root_load_free(root);
    return 0;
}
