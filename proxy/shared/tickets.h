/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of TLS session tickets in the shared memory, so that a client resumes at any worker and
 * after a crash of the gateway. The gateway's main thread adds keys, workers read them without a
 * lock. */
#ifndef LT_SHARED_TICKETS_H
#define LT_SHARED_TICKETS_H

#include "shared/shm.h"

/* How many keys still decrypt, the current one included. */
#define LT_TICKETS_KEPT 4u

#define LT_TICKET_NAME_LEN 16

struct lt_ticket_key {
    unsigned char name[LT_TICKET_NAME_LEN]; /* goes into the ticket in the clear */
    unsigned char aes[32], hmac[32];
};

/* Makes a new key when there is none of our own or the current one is older than rotate_ms at
 * now_us (monotonic). Keys that were set before are dropped with the first one made. True when it
 * made one. Main thread of one gateway at a time, as lt_tickets_set. */
bool lt_tickets_rotate(struct lt_shm *shm, uint64_t now_us, uint64_t rotate_ms);

/* Takes these keys instead of all there were, the one to encrypt with first; n of them, 1 to
 * LT_TICKETS_KEPT. False: they are the current ones already. */
bool lt_tickets_set(struct lt_shm *shm, const struct lt_ticket_key *keys, unsigned n);

/* name == NULL: the key to encrypt with. Else the kept key with that name. False: there is none.
 * Any thread. */
bool lt_tickets_get(struct lt_shm *shm, const unsigned char *name, struct lt_ticket_key *out);

#endif
