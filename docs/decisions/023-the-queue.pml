/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of 023-the-queue.md as a model. Workers share one server with MAX seats. Each has an
 * exchange that comes, may wait, may leave while it waits, and gives its seat back.
 *
 *   spin -a docs/decisions/023-the-queue.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 *
 * "invalid end state" would be a lost wake-up: an exchange that waits while nobody holds a seat and
 * none is on its way. The assertions are the bound and the count. Each line is one access to shared
 * memory, in the one order that sequentially consistent accesses have. -DFORGET_SECOND_LOOK leaves
 * out what an enqueue does after it said that it waits, -DFORGET_RECHECK what a release does after the
 * count went down: both end in a lost wake-up. */
#define WORKERS 3
#define MAX 1

byte count;              /* seats taken: shared/server_state.c */
bool waits[WORKERS];     /* the mask: shared/waiting.c */
byte mail[WORKERS];      /* seats on their way to a worker: net/mailbox.c */
byte used;               /* exchanges at the server: only for the assertion */

inline acquire(ok)       /* the CAS loop of lt_server_acquire */
{
    atomic { if :: count < MAX -> count++; ok = true :: else -> ok = false fi }
}

inline first(to)         /* lt_waiting_first: any worker whose bit is set; WORKERS: none */
{
    atomic {
        if
        :: waits[0] -> to = 0
        :: waits[1] -> to = 1
        :: waits[2] -> to = 2
        :: !waits[0] && !waits[1] && !waits[2] -> to = WORKERS
        fi
    }
}

inline pass()            /* lt_seat_pass */
{
    first(to);
    if
    :: to == WORKERS ->
        count--;
#ifndef FORGET_RECHECK
        first(to);
        if
        :: to != WORKERS ->
            acquire(ok);
            if :: ok -> mail[to]++ :: else fi
        :: else
        fi
#endif
    :: else -> mail[to]++
    fi
}

proctype Worker(byte me)
{
    bool ok;
    byte to;
    byte rounds = 2;

    do
    :: rounds > 0 ->                         /* an exchange comes: lt_queue_pick */
        rounds--;
        acquire(ok);
        if
        :: ok -> goto served
        :: else
        fi;
        waits[me] = true;
#ifndef FORGET_SECOND_LOOK
        acquire(ok);
        if
        :: ok -> waits[me] = false; goto served
        :: else
        fi;
#endif
        if                                   /* nobody knows beforehand how patient it is */
        :: true ->
            (mail[me] > 0);                  /* lt_queue_grant */
            mail[me]--; waits[me] = false; goto served
        :: true ->
            waits[me] = false                /* lt_queue_leave */
        fi;
        goto idle;
served:
        used++;
        assert(used <= MAX);
        used--;
        pass();
idle:   skip
    :: mail[me] > 0 ->                       /* for somebody who has left */
        mail[me]--; pass()
    :: rounds == 0 && mail[me] == 0 ->
end:    (mail[me] > 0)                       /* a worker that has nothing left to do */
    od
}

init
{
    atomic { run Worker(0); run Worker(1); run Worker(2) }
}
