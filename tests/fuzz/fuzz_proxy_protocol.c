/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers. However the bytes arrive, what is read is the same; no byte of a connection that
 * begins with something else is taken; and what is written is read back. */
#include "net/proxy_protocol.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static enum lt_err parse(const uint8_t *data, size_t n, struct lt_proxy_header *out, size_t *used)
{
    /* Memory of exactly that size, so that a read past its end is seen. */
    char *exact = malloc(n > 0 ? n : 1);
    const char *why = NULL;
    require(exact != NULL);
    if (n > 0) {
        memcpy(exact, data, n);
    }
    enum lt_err err = lt_proxy_parse(exact, n, out, used, &why);
    free(exact);
    require(why != NULL && *used <= n && (!out->given || err == LT_OK));
    return err;
}

static void check_written(const struct lt_proxy_header *h, enum lt_proxy_version version)
{
    char text[LT_PROXY_WRITE_MAX];
    size_t used, n = lt_proxy_write(version, &h->source, &h->target, text);
    struct lt_proxy_header again;
    require(n < sizeof(text));
    require(parse((uint8_t *)text, n, &again, &used) == LT_OK && used == n);
    require(again.given == h->given);
    if (h->given) {
        char a[LT_ADDR_TEXT_MAX], b[LT_ADDR_TEXT_MAX];
        lt_addr_print(&h->source, a);
        lt_addr_print(&again.source, b);
        require(strcmp(a, b) == 0);
        require(lt_addr_port(&h->target) == lt_addr_port(&again.target));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_proxy_header whole, part;
    size_t used, n = lt_min(size, (size_t)LT_PROXY_HEADER_MAX + 64);
    enum lt_err verdict = parse(data, n, &whole, &used);
    size_t header = used;
    require(verdict != LT_AGAIN || n < LT_PROXY_HEADER_MAX);
    size_t sure = 0;
    for (size_t i = 0; i < n; i++) {
        enum lt_err err = parse(data, i, &part, &used);
        if (err != LT_AGAIN) {
            require(err == verdict); /* known early, and not changed by more */
            require(err != LT_OK || (used == header && i == header));
            break;
        }
        require(used >= sure && (used == 0 || used == i)); /* what is sure stays sure */
        require(used == 0 || verdict != LT_ERR_NOTFOUND);
        sure = used;
    }
    if (verdict == LT_OK) {
        check_written(&whole, LT_PROXY_V1);
        check_written(&whole, LT_PROXY_V2);
    }
    return 0;
}
