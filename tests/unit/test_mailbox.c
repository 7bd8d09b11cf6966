/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <pthread.h>

#include "net/mailbox.h"

#define THREADS 4
#define EACH 2000

struct note {
    struct lt_message message;
    unsigned from, number;
};

/* The owner's view: plain memory that only its thread touches. */
struct receiver {
    struct lt_loop *loop;
    unsigned next[THREADS]; /* number expected from each thread */
    unsigned total;
    bool out_of_order;
};

static struct note notes[THREADS][EACH];
static struct lt_mailbox *box;

static void on_note(struct lt_message *message, void *owner)
{
    struct note *note = lt_container_of(message, struct note, message);
    struct receiver *r = owner;
    r->out_of_order |= note->number != r->next[note->from];
    r->next[note->from] = note->number + 1;
    note->number = 0; /* ours now: a race here would be seen */
    if (++r->total == THREADS * EACH) {
        lt_loop_stop(r->loop);
    }
}

static void *post_all(void *arg)
{
    unsigned from = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < EACH; i++) {
        notes[from][i] = (struct note){.message.fn = on_note, .from = from, .number = i};
        lt_mailbox_post(box, &notes[from][i].message);
    }
    return NULL;
}

static void many_threads_post_in_order(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct receiver r = {.loop = lt_loop_new(BLOCKS_MAX)};
    assert_non_null(r.loop);
    box = lt_mailbox_new(r.loop, &r);
    assert_non_null(box);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, (void *)i), 0);
    }
    lt_loop_run(r.loop);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(r.total, THREADS * EACH);
    assert_false(r.out_of_order);
    lt_mailbox_free(box);
    lt_loop_free(r.loop);
}

static void freeing_delivers_what_is_left(void **state)
{
    (void)state;
    struct receiver r = {.loop = lt_loop_new(BLOCKS_MAX)};
    assert_non_null(r.loop);
    box = lt_mailbox_new(r.loop, &r);
    post_all((void *)0);
    assert_int_equal(r.total, 0); /* only the loop calls */
    lt_mailbox_free(box);
    assert_int_equal(r.total, EACH);
    lt_mailbox_free(NULL);
    lt_loop_free(r.loop);
}

/* A message may be posted again from its own call. */
static void on_bounce(struct lt_message *message, void *owner)
{
    struct receiver *r = owner;
    if (++r->total < 10) {
        lt_mailbox_post(box, message);
    } else {
        lt_loop_stop(r->loop);
    }
}

static void a_message_may_be_posted_again(void **state)
{
    (void)state;
    struct receiver r = {.loop = lt_loop_new(BLOCKS_MAX)};
    struct lt_message message = {.fn = on_bounce};
    assert_non_null(r.loop);
    box = lt_mailbox_new(r.loop, &r);
    lt_mailbox_post(box, &message);
    lt_loop_run(r.loop);
    assert_int_equal(r.total, 10);
    lt_mailbox_free(box);
    lt_loop_free(r.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_post_in_order),
        cmocka_unit_test(freeing_delivers_what_is_left),
        cmocka_unit_test(a_message_may_be_posted_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
