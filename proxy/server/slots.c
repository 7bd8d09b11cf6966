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

int lt_slots_assign(struct lt_slots *slots, const struct lt_addr *addr, struct lt_str name)
{
    char key[LT_CONTROL_KEY_MAX];
    make_key(key, addr, name);
    for (unsigned i = 0; i < slots->n; i++) {
        if (strcmp(slots->v[i].key, key) == 0) {
            return (int)i;
        }
    }
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        struct lt_slot *slot = &slots->v[i];
        bool gone = !slot->active && slot->n_fds == 0 &&
                    atomic_load_explicit(&slot->open, memory_order_relaxed) == 0;
        if (slot->key[0] == '\0' || gone) {
            memcpy(slot->key, key, sizeof(key));
            slots->n = lt_max(slots->n, i + 1);
            return (int)i;
        }
    }
    return -1;
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
