/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of TLS session tickets in the shared memory, so that a client resumes at any worker and
 * after a crash of the gateway. The gateway's main thread adds keys, workers read them without a
 * lock. */
#ifndef LT_SHARED_TICKETS_H
#define LT_SHARED_TICKETS_H

#include "shared/shm.h"

/* Seconds after which a new key takes over. */
#define LT_TICKETS_ROTATE_S 43200u
/* How many keys still decrypt, the current one included. */
#define LT_TICKETS_KEPT 4u

#define LT_TICKET_NAME_LEN 16

struct lt_ticket_key {
    unsigned char name[LT_TICKET_NAME_LEN]; /* goes into the ticket in the clear */
    unsigned char aes[32], hmac[32];
};

/* Makes a new key when there is none or the current one is older than LT_TICKETS_ROTATE_S at now_us
 * (monotonic). True when it made one. Main thread of one gateway at a time. */
bool lt_tickets_rotate(struct lt_shm *shm, uint64_t now_us);

/* name == NULL: the key to encrypt with. Else the kept key with that name. False: there is none.
 * Any thread. */
bool lt_tickets_get(struct lt_shm *shm, const unsigned char *name, struct lt_ticket_key *out);

#endif
