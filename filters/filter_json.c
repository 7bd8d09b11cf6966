/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schemas of installed filters (filter_json.h): one `if` and `then` for each. */
#include "filters/filter_json.h"

#include "config/reference.h"
#include "filters/program.h"

bool lt_filter_json_load(struct lt_filter_json *json, struct lt_schema_load *load)
{
    const char *names[LT_FILTER_JSON_MAX];
    size_t n = lt_filter_names(load, names, LT_FILTER_JSON_MAX);
    json->n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct lt_filter_file *file = lt_filter_file_describe(load, lt_str_c(names[i]));
        if (file != NULL) {
            json->files[json->n++] = file;
        }
    }
    return lt_load_ok(load);
}

/* Which filters there are; a path names one that only the gateway knows. */
static void add_names(const struct lt_filter_json *json, struct lt_buf *out)
{
    lt_buf_str(out, LT_STR(",\"allOf\":[{\"properties\":{\"filter\":{\"anyOf\":[{\"enum\":["));
    for (size_t i = 0; i < json->n; i++) {
        lt_buf_str(out, i > 0 ? LT_STR(",") : LT_STR(""));
        lt_buf_json_str(out, json->files[i]->name);
    }
    lt_buf_str(out, LT_STR("]},{\"pattern\":\"/|\\\\.lua$|\\\\$\\\\{\"}]}}}"));
}

void lt_filter_json_add(void *arg, struct lt_buf *out)
{
    const struct lt_filter_json *json = arg;
    if (json->n == 0) {
        return; /* none is installed here: nothing is known */
    }
    add_names(json, out);
    for (size_t i = 0; i < json->n; i++) {
        lt_buf_str(out, LT_STR(",{\"if\":{\"properties\":{\"filter\":{\"const\":"));
        lt_buf_json_str(out, json->files[i]->name);
        lt_buf_str(out, LT_STR("}}},\"then\":{"));
        lt_config_json_schema_object(&json->files[i]->schema, &lt_filter_schema, out);
        lt_buf_str(out, LT_STR("}}"));
    }
    lt_buf_char(out, ']');
}
