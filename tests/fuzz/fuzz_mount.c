/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in responses: the first byte chooses field and mount, the rest is the value. What is
 * mapped stays fit for a header, and mapping it again changes nothing. */
#include "http/mount.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const enum lt_header_id fields[] = {LT_HEADER_LOCATION, LT_HEADER_CONTENT_LOCATION,
                                           LT_HEADER_REFRESH, LT_HEADER_SET_COOKIE};

static const struct lt_mount mounts[] = {
    {.prefix = LT_STR_INIT("/shop"),
     .told = LT_STR_INIT("/outer/shop"),
     .scheme = LT_STR_INIT("https"),
     .asked = LT_STR_INIT("www.test"),
     .known = LT_STR_INIT("www.test")},
    {.prefix = LT_STR_INIT("/a/b"),
     .told = LT_STR_INIT("/a/b"),
     .sent = LT_STR_INIT("app.internal:8000"),
     .scheme = LT_STR_INIT("http"),
     .asked = LT_STR_INIT("[::1]:8080"),
     .known = LT_STR_INIT("www.test:8443")},
    {.sent = LT_STR_INIT("app"), .scheme = LT_STR_INIT("https"), .asked = LT_STR_INIT("app.test")},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_arena arena;
    struct lt_headers headers;
    if (size == 0 || !lt_header_value_ok(lt_str((const char *)data + 1, size - 1))) {
        return 0;
    }
    lt_arena_init(&arena, NULL, 0, 16 << 20);
    lt_headers_init(&headers, &arena, 1);
    enum lt_header_id id = fields[data[0] % lt_countof(fields)];
    const struct lt_mount *mount = &mounts[data[0] / lt_countof(fields) % lt_countof(mounts)];
    require(lt_headers_add_id(&headers, id, lt_str((const char *)data + 1, size - 1)) == LT_OK);
    require(lt_mount_response(&headers, mount) == LT_OK);
    struct lt_str once = headers.v[0].value;
    require(lt_header_value_ok(once));
    require(lt_mount_response(&headers, mount) == LT_OK);
    require(lt_str_eq(headers.v[0].value, once));
    lt_arena_fini(&arena);
    return 0;
}
