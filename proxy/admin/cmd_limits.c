/* SPDX-License-Identifier: Apache-2.0 */
/* A client of /limits (admin/limits.h). A process of its own; may block. */
#include "admin/cmd_limits.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "admin/client.h"
#include "server/cmd_config.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define TARGET_MAX ((size_t)16 << 10)
#define TOP_DEFAULT "20"

enum { WELL = 0, REFUSED = 1, USAGE = 2 };

struct order {
    struct lt_admin_where where;
    const char *what, *word, *limit; /* word: the key or a number; NULL: none */
    bool json;
};

static int usage(void)
{
    fputs("usage: lintel limits show [KEY] | reset KEY | top [N]\n"
          "              [--limit NAME] [--json] [-c FILE | --admin ADDRESS]\n",
          stderr);
    return USAGE;
}

static bool read_order(struct order *order, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            order->json = true;
        } else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc) {
            order->limit = argv[++i];
        } else if (lt_admin_option(&order->where, argc, argv, &i)) {
            continue;
        } else if (order->what == NULL) {
            order->what = argv[i];
        } else if (order->word == NULL) {
            order->word = argv[i];
        } else {
            return false;
        }
    }
    uint64_t n;
    if (order->what == NULL) {
        return false;
    }
    if (strcmp(order->what, "top") == 0) {
        return order->limit == NULL &&
               (order->word == NULL || lt_str_to_u64(lt_str_c(order->word), &n));
    }
    return strcmp(order->what, "show") == 0 ||
           (strcmp(order->what, "reset") == 0 && order->word != NULL);
}

static void put_query(struct lt_buf *out, char mark, const char *key, const char *value)
{
    lt_buf_printf(out, "%c%s=", mark, key);
    lt_admin_put_value(out, lt_str_c(value));
}

/* ---- Printing. ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_limit(const json_t *l)
{
    char in_flight[32] = "-";
    if (number_of(l, "in_flight_max") > 0) {
        snprintf(in_flight, sizeof(in_flight), "%lld", number_of(l, "in_flight_max"));
    }
    printf("%-20s %-24s %9s %12lld %10lld %12lld%s%s\n", text_of(l, "name"), text_of(l, "rates"),
           in_flight, number_of(l, "passed"), number_of(l, "refused"), number_of(l, "would_refuse"),
           json_is_true(json_object_get(l, "redis")) ? "  redis" : "",
           json_is_true(json_object_get(l, "dry_run")) ? "  dry run" : "");
}

static void print_key(const json_t *l)
{
    size_t i;
    json_t *w;
    printf("%s%s\n", text_of(l, "name"),
           json_is_true(json_object_get(l, "redis"))
               ? "  (counts in Redis; here is what was counted without it)"
               : "");
    json_array_foreach(json_object_get(l, "windows"), i, w)
    {
        printf("  %lld of %lld left, all back in %.1f s\n", number_of(w, "remaining"),
               number_of(w, "of"), (double)number_of(w, "reset_ms") / 1000);
    }
    if (number_of(l, "in_flight_max") > 0) {
        printf("  %lld of %lld in flight\n", number_of(l, "in_flight"),
               number_of(l, "in_flight_max"));
    }
}

static void print_top(const json_t *k)
{
    printf("%-40s %-20s %4lld %% %10lld %9lld %8.1f s\n", text_of(k, "key"), text_of(k, "name"),
           number_of(k, "left_percent"), number_of(k, "refused"), number_of(k, "in_flight"),
           (double)number_of(k, "seen_ms") / 1000);
}

/* Whether anything was counted for the key in this limit. */
static bool is_used(const json_t *l)
{
    size_t i;
    json_t *w;
    bool used = number_of(l, "in_flight") > 0;
    json_array_foreach(json_object_get(l, "windows"), i, w)
    {
        used |= number_of(w, "remaining") < number_of(w, "of");
    }
    return used;
}

/* Says that a key is unknown; perhaps it was meant to be something else. */
static void print_unused(const struct order *order, const json_t *root)
{
    size_t i;
    json_t *l;
    bool used = false, limit = false;
    json_array_foreach(root, i, l)
    {
        used |= is_used(l);
        limit |= strcmp(text_of(l, "name"), order->word) == 0;
    }
    if (!used && limit) {
        printf("Nothing is counted for this key. %s is a limit: `lintel limits top` lists keys.\n",
               order->word);
    } else if (!used) {
        printf("Nothing is counted for this key.\n");
    }
}

static int print(const struct order *order, struct lt_str body)
{
    json_error_t error;
    json_t *root = json_loadb(body.p, body.len, 0, &error);
    size_t i;
    json_t *one;
    bool top = strcmp(order->what, "top") == 0;
    if (!json_is_array(root)) {
        fprintf(stderr, "lintel: the answer is no list: %s\n", error.text);
        json_decref(root);
        return REFUSED;
    }
    if (top) {
        printf("%-40s %-20s %6s %10s %9s %10s\n", "KEY", "LIMIT", "LEFT", "REFUSED", "IN FLIGHT",
               "SEEN");
    } else if (order->word == NULL) {
        printf("%-20s %-24s %9s %12s %10s %12s\n", "LIMIT", "RATES", "IN FLIGHT", "PASSED",
               "REFUSED", "WOULD REFUSE");
    }
    json_array_foreach(root, i, one)
    {
        if (top) {
            print_top(one);
        } else if (order->word == NULL) {
            print_limit(one);
        } else {
            print_key(one);
        }
    }
    if (!top && order->word != NULL) {
        print_unused(order, root);
    }
    json_decref(root);
    return WELL;
}

/* ---- The command. ---- */

static void make_target(const struct order *order, struct lt_buf *target)
{
    bool top = strcmp(order->what, "top") == 0;
    lt_buf_printf(target, "/limits");
    if (top) {
        put_query(target, '?', "top", order->word != NULL ? order->word : TOP_DEFAULT);
    } else if (order->word != NULL) {
        put_query(target, '?', "key", order->word);
        if (order->limit != NULL) {
            put_query(target, '&', "name", order->limit);
        }
    }
}

int lt_cmd_limits(int argc, char **argv)
{
    struct order order = {.where = {.config = lt_cmd_config_path()}};
    struct lt_addr addr;
    struct lt_buf target, out;
    struct lt_str body;
    if (!read_order(&order, argc, argv)) {
        return usage();
    }
    int code = lt_admin_find(&order.where, &addr);
    if (code != WELL) {
        return code;
    }
    lt_buf_init(&target, TARGET_MAX);
    lt_buf_init(&out, ANSWER_MAX);
    make_target(&order, &target);
    bool reset = strcmp(order.what, "reset") == 0;
    code = lt_admin_ask(&addr, reset ? "DELETE" : "GET", lt_buf_view(&target), LT_STR_NONE, &out,
                        &body) == 200
               ? WELL
               : REFUSED;
    if (code == WELL && order.json) {
        printf("%.*s", LT_STR_ARG(body));
    } else if (code == WELL) {
        code = print(&order, body);
    }
    lt_buf_fini(&target);
    lt_buf_fini(&out);
    return code;
}
