/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of names for a worker, which can't look names up by itself: reading the hosts file and
 * resolv.conf would have it wait for a disk. It asks main by a message, keeps the answer for as
 * long as its TTL says, and asks once for all who wait for the same name. A worker's thread.
 *
 *   lt_addresses_find -> known: fn at once
 *                     '> lt_address_question -> main -> lt_addresses_answer -> fn of all who wait
 */
#ifndef LT_NET_ADDRESSES_H
#define LT_NET_ADDRESSES_H

#include "net/mailbox.h"
#include "net/resolve.h"

#define LT_ADDRESSES_MAX 8u            /* of one name that are kept */
#define LT_ADDRESSES_NAMES_MAX 1000u   /* that one worker knows */
#define LT_ADDRESSES_WAITING_MAX 4096u /* who wait for answers on one worker */

struct lt_addresses;

/* One question; belongs to whoever got the message last. Allocated by lt_malloc; who can't answer
 * it any more frees it. */
struct lt_address_question {
    struct lt_message message;
    struct lt_addresses *addresses; /* who asks */
    void *asker;                    /* as given to lt_addresses_new */
    char name[LT_DNS_NAME_MAX + 2];
    /* The answer. */
    struct lt_addr v[LT_ADDRESSES_MAX]; /* without ports, IPv4 first */
    unsigned n;
    const char *why; /* static; n == 0: why there is none */
    uint64_t ttl_ms; /* how long that holds */
    /* Main's own, while it looks the name up. */
    struct lt_list link;
    struct lt_lookup lookup;
};

/* Takes q to whoever can answer it; lt_addresses_answer follows on this thread, or nothing when
 * the process ends. */
typedef void (*lt_addresses_ask_fn)(struct lt_address_question *q);

/* Returns owned; NULL without memory. */
struct lt_addresses *lt_addresses_new(struct lt_loop *loop, lt_addresses_ask_fn ask,
                                      void *asker) LT_MUST_CHECK;
/* Nobody waits any more, and no answer comes. NULL is fine. */
void lt_addresses_free(struct lt_addresses *a);

/* Takes q. */
void lt_addresses_answer(struct lt_address_question *q);

/* n > 0 addresses, or why (static) there are none; v is borrowed until return. */
typedef void (*lt_addresses_fn)(void *owner, const struct lt_addr *v, unsigned n, const char *why);

/* Who waits for a name; embedded, zeroed before first use. */
struct lt_address_wait {
    struct lt_list link;
    struct lt_addresses *addresses; /* not NULL: it waits */
    lt_addresses_fn fn;
    void *owner;
};

/* The addresses of name (lower case, lt_dns_name_ok). fn is called once, perhaps before this
 * returns. */
void lt_addresses_find(struct lt_addresses *a, struct lt_address_wait *wait, struct lt_str name,
                       lt_addresses_fn fn, void *owner);
/* No callback follows. Also for one that doesn't wait. */
void lt_address_wait_cancel(struct lt_address_wait *wait);

#endif
