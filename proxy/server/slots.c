/* SPDX-License-Identifier: Apache-2.0 */
/* The table of listener numbers. */
#include "server/slots.h"

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

static void make_key(char key[LT_CONTROL_KEY_MAX], const struct lt_addr *addr, struct lt_str name)
{
    char text[LT_ADDR_TEXT_MAX];
    size_t n = lt_addr_print(addr, text);
    bool chosen = !lt_addr_is_unix(addr) && lt_addr_port(addr) == 0;
    snprintf(key, LT_CONTROL_KEY_MAX, "%.*s%s%.*s", (int)n, text, chosen ? " " : "",
             chosen ? (int)name.len : 0, chosen ? name.p : "");
}

/* Whether nobody needs the number any more. */
static bool is_free(const struct lt_slot *slot, unsigned config)
{
    return slot->key[0] == '\0' || (slot->wanted != config && !slot->active && slot->n_fds == 0 &&
                                    atomic_load_explicit(&slot->open, memory_order_relaxed) == 0);
}

int lt_slots_assign(struct lt_slots *slots, const struct lt_addr *addr, struct lt_str name,
                    unsigned config)
{
    char key[LT_CONTROL_KEY_MAX];
    make_key(key, addr, name);
    unsigned found = LT_SLOTS_MAX;
    for (unsigned i = LT_SLOTS_MAX; i-- > 0;) {
        if (is_free(&slots->v[i], config)) {
            found = i;
        }
    }
    for (unsigned i = 0; i < slots->n; i++) {
        if (strcmp(slots->v[i].key, key) == 0) {
            found = i;
        }
    }
    if (found == LT_SLOTS_MAX) {
        return -1;
    }
    if (strcmp(slots->v[found].key, key) != 0) {
        /* A free one: workers read the keys of the others. */
        memcpy(slots->v[found].key, key, sizeof(key));
    }
    slots->v[found].wanted = config;
    slots->n = lt_max(slots->n, found + 1);
    return (int)found;
}

int lt_slot_fd(const struct lt_slot *slot, unsigned worker)
{
    return slot->n_fds == 1 ? slot->fds[0] : worker < slot->n_fds ? slot->fds[worker] : -1;
}

void lt_slot_close(struct lt_slot *slot)
{
    for (unsigned i = 0; i < slot->n_fds; i++) {
        close(slot->fds[i]);
    }
    lt_free(slot->fds);
    slot->fds = NULL;
    slot->n_fds = 0;
}
