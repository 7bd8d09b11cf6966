/* SPDX-License-Identifier: Apache-2.0 */
/* A test bed with filters from texts, for the unit tests of filters/. Files are written to a folder
 * that goes away afterwards; `@` in a configuration stands for it. */
#ifndef LT_TESTS_UNIT_FILTER_BED_H
#define LT_TESTS_UNIT_FILTER_BED_H

#include "base/log.h"
#include "filters/host_impl.h"
#include "filters/test_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct lt_test_bed *bed;
static char folder[64];
static char why[600];
static char logged[8192]; /* what was logged, as lines */

static void on_line(struct lt_str line)
{
    size_t len = strlen(logged);
    snprintf(logged + len, sizeof(logged) - len, "%.*s", LT_STR_ARG(line));
}

static int bed_setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/lintel-unit-XXXXXX");
    assert_non_null(mkdtemp(folder));
    bed = lt_test_bed_new();
    assert_non_null(bed);
    logged[0] = '\0';
    lt_log_set_sink(on_line);
    return 0;
}

static int bed_teardown(void **state)
{
    (void)state;
    lt_test_bed_free(bed);
    lt_log_set_sink(NULL);
    static const char *const names[] = {"a.lua",     "b.lua",      "c.lua",
                                        "sub/m.lua", "t_test.lua", "key_auth.lua"};
    char path[128];
    for (size_t i = 0; i < lt_countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/sub", folder);
    rmdir(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The instances of a mapping in YAML; gives the messages when it can't be loaded, else NULL. */
LT_UNUSED static const char *load_yaml(const char *yaml)
{
    static char text[8192], messages[8192];
    size_t n = 0;
    struct lt_buf out;
    for (; *yaml != '\0' && n < sizeof(text) - sizeof(folder); yaml++) {
        if (*yaml == '@') {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", folder);
        } else {
            text[n++] = *yaml;
        }
    }
    lt_test_bed_begin_load(bed);
    struct lt_node *map = lt_load_text(&bed->load, LT_STR("t.yaml"), LT_STR("/"), lt_str(text, n));
    if (map != NULL && lt_test_bed_load(bed, map, why, sizeof(why))) {
        return NULL;
    }
    lt_buf_init_fixed(&out, messages, sizeof(messages) - 1);
    lt_diags_print(&bed->diags, &out);
    lt_buf_str(&out, lt_str_c(why));
    messages[out.len] = '\0';
    return messages;
}

LT_UNUSED static void load_well(const char *yaml)
{
    const char *messages = load_yaml(yaml);
    if (messages != NULL) {
        fail_msg("can't be loaded: %s", messages);
    }
}

/* One filter, a.lua, with this text and these settings (", key: value"). */
LT_UNUSED static void load_one(const char *text, const char *settings)
{
    char yaml[1024];
    write_file("a.lua", text);
    snprintf(yaml, sizeof(yaml), "a: {filter: \"@/a.lua\"%s}\n", settings);
    load_well(yaml);
}

LT_UNUSED static struct lt_exchange *begin(void)
{
    const struct lt_test_request request = {.method = LT_STR("GET"),
                                            .target = LT_STR("/p%61th?a=1&b=x%20y"),
                                            .host = LT_STR("example.com"),
                                            .client_ip = LT_STR("192.0.2.7")};
    struct lt_exchange *x = lt_test_bed_begin(bed, &request);
    assert_non_null(x);
    return x;
}

LT_UNUSED static void with_header(struct lt_exchange *x, const char *name, const char *value)
{
    assert_int_equal(lt_headers_add(&x->req.headers, lt_str_c(name), lt_str_c(value)), LT_OK);
}

/* A response as a server would have sent it. */
LT_UNUSED static void with_response(struct lt_exchange *x)
{
    x->res = (struct lt_response){.status = 200, .version = 11};
    lt_headers_init(&x->res.headers, &x->arena, 100);
    assert_int_equal(lt_headers_add(&x->res.headers, LT_STR("Server"), LT_STR("app")), LT_OK);
}

LT_UNUSED static void assert_str(struct lt_str got, const char *wanted)
{
    if (!lt_str_eq_c(got, wanted)) {
        fail_msg("is \"%.*s\", should be \"%s\"", LT_STR_ARG(got), wanted);
    }
}

LT_UNUSED static struct lt_str req_header(const struct lt_exchange *x, const char *name)
{
    const struct lt_header *h = lt_headers_get_name(&x->req.headers, lt_str_c(name));
    return h != NULL ? h->value : LT_STR_NONE;
}

#endif
