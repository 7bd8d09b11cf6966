/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <netinet/tcp.h>

#include "net/stream.h"

/* The stream under test with what its callbacks saw. */
struct side {
    struct lt_loop *loop;
    struct lt_stream s;
    int peer; /* the other end */
    unsigned readables, drains;
    enum lt_err last; /* of recv */
    char in[1 << 16];
    size_t in_len;
    bool leave;             /* on_readable reads nothing */
    bool close_on_readable; /* what the callbacks do to the stream */
    bool close_on_drained;
};

static char big[600000];

static void read_all(struct side *side)
{
    size_t n;
    while ((side->last = lt_stream_recv(&side->s, side->in + side->in_len,
                                        sizeof(side->in) - side->in_len, &n)) == LT_OK) {
        side->in_len += n;
    }
}

static void on_readable(void *owner)
{
    struct side *side = owner;
    side->readables++;
    if (side->close_on_readable) {
        lt_stream_close(&side->s);
    } else if (!side->leave) {
        read_all(side);
    }
}

static void on_drained(void *owner)
{
    struct side *side = owner;
    side->drains++;
    if (side->close_on_drained) {
        lt_stream_close(&side->s);
    }
}

static const struct lt_stream_ops ops = {.on_readable = on_readable, .on_drained = on_drained};

static void side_open(struct side *side, const int fds[2], size_t blocks_max)
{
    memset(side, 0, sizeof(*side));
    side->loop = lt_loop_new(blocks_max);
    assert_non_null(side->loop);
    side->peer = fds[1];
    lt_stream_open(&side->s, side->loop, fds[0], &ops, side);
}

static struct side *new_side(bool tcp, size_t blocks_max)
{
    static struct side side;
    int fds[2];
    if (tcp) {
        make_tcp_pair(fds);
    } else {
        make_pair(fds);
    }
    side_open(&side, fds, blocks_max);
    return &side;
}

static void side_close(struct side *side)
{
    lt_stream_close(&side->s);
    if (side->peer >= 0) {
        close(side->peer);
    }
    assert_int_equal(side->loop->blocks.in_use, 0);
    lt_loop_free(side->loop);
}

/* What the peer can read now, up to max. */
static size_t peer_read(struct side *side, char *to, size_t max)
{
    size_t total = 0;
    ssize_t n;
    while (total < max && (n = recv(side->peer, to + total, max - total, 0)) > 0) {
        total += (size_t)n;
    }
    return total;
}

static void reads_what_comes(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    assert_int_equal(write(side->peer, "hello", 5), 5);
    RUN_UNTIL(side->loop, side->in_len == 5);
    assert_memory_equal(side->in, "hello", 5);
    assert_int_equal(side->last, LT_AGAIN);
    assert_int_equal(side->s.bytes_in, 5);
    assert_int_equal(side->readables, 1);
    side_close(side);
}

static void silence_is_asked_for_at_the_socket(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    assert_true(lt_stream_is_silent(&side->s));
    assert_int_equal(write(side->peer, "x", 1), 1);
    assert_false(lt_stream_is_silent(&side->s));
    RUN_UNTIL(side->loop, side->in_len == 1);
    assert_true(lt_stream_is_silent(&side->s));
    close(side->peer);
    side->peer = -1;
    assert_false(lt_stream_is_silent(&side->s));
    side_close(side);
}

/* After a short read a stream waits for the socket's word; a look doesn't. */
static void a_look_reads_without_an_event(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    assert_int_equal(write(side->peer, "a", 1), 1);
    RUN_UNTIL(side->loop, side->in_len == 1);
    assert_int_equal(write(side->peer, "b", 1), 1);
    lt_stream_look(&side->s);
    assert_int_equal(side->in_len, 2);
    lt_stream_look(&side->s);
    assert_int_equal(side->in_len, 2);
    side_close(side);
}

/* What the kernel holds for a peer that doesn't read was not taken. */
static void taken_is_what_the_peer_has_made_room_for(void **state)
{
    (void)state;
    static const char data[200000];
    struct side *side = new_side(true, BLOCKS_MAX);
    assert_int_equal(lt_stream_taken(&side->s), 0);
    uint64_t before;
    do {
        assert_int_equal(lt_stream_put(&side->s, data, sizeof(data)), LT_OK);
        assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    } while (lt_stream_unsent(&side->s) == 0);
    before = lt_stream_taken(&side->s);
    assert_true(before < side->s.wire_out);
    assert_int_equal(lt_stream_taken(&side->s), before);
    static char sink[1 << 20];
    RUN_UNTIL(side->loop,
              peer_read(side, sink, sizeof(sink)) == 0 || lt_stream_taken(&side->s) > before);
    assert_true(lt_stream_taken(&side->s) > before);
    side_close(side);
}

/* A read that filled less than asked for found the socket empty: no second system call asks. */
static void a_short_read_ends_the_turn(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    char buf[16];
    size_t n;
    assert_int_equal(write(side->peer, "abc", 3), 3);
    assert_int_equal(lt_stream_recv(&side->s, buf, sizeof(buf), &n), LT_OK);
    assert_int_equal(n, 3);
    assert_int_equal(write(side->peer, "def", 3), 3);
    assert_int_equal(lt_stream_recv(&side->s, buf, sizeof(buf), &n), LT_AGAIN);
    RUN_UNTIL(side->loop, side->in_len == 3); /* the next event asks again */
    assert_memory_equal(side->in, "def", 3);
    side_close(side);
}

static void a_full_read_asks_again(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    char buf[3];
    size_t n;
    assert_int_equal(write(side->peer, "abcdef", 6), 6);
    assert_int_equal(lt_stream_recv(&side->s, buf, 3, &n), LT_OK);
    assert_int_equal(lt_stream_recv(&side->s, buf, 3, &n), LT_OK);
    assert_memory_equal(buf, "def", 3);
    assert_int_equal(lt_stream_recv(&side->s, buf, 3, &n), LT_AGAIN);
    side_close(side);
}

static void the_end_is_told_once_and_does_not_spin(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    size_t n;
    char c;
    assert_int_equal(write(side->peer, "x", 1), 1);
    shutdown(side->peer, SHUT_WR);
    RUN_UNTIL(side->loop, side->last == LT_EOF);
    assert_int_equal(side->in_len, 1);
    unsigned readables = side->readables;
    assert_true(run_for(side->loop, 50) < 10);
    assert_int_equal(side->readables, readables);
    assert_int_equal(lt_stream_recv(&side->s, &c, 1, &n), LT_EOF);
    /* Our direction is open still. */
    assert_int_equal(lt_stream_put(&side->s, "late", 4), LT_OK);
    assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    char got[8];
    wait_readable(side->peer);
    assert_int_equal(peer_read(side, got, sizeof(got)), 4);
    side_close(side);
}

static void slices_leave_in_order_and_together(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    char got[64];
    assert_int_equal(lt_stream_put(&side->s, "head ", 5), LT_OK);
    assert_int_equal(lt_stream_put(&side->s, "", 0), LT_OK);
    assert_int_equal(lt_stream_put(&side->s, "body", 4), LT_OK);
    assert_int_equal(lt_stream_unsent(&side->s), 9);
    assert_int_equal(recv(side->peer, got, sizeof(got), 0), -1); /* nothing before the flush */
    assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    wait_readable(side->peer);
    assert_int_equal(recv(side->peer, got, sizeof(got), 0), 9);
    assert_memory_equal(got, "head body", 9);
    assert_int_equal(lt_stream_unsent(&side->s), 0);
    assert_int_equal(side->s.bytes_out, 9);
    assert_int_equal(lt_stream_flush(&side->s), LT_OK); /* nothing to do is fine */
    assert_int_equal(side->drains, 0);
    side_close(side);
}

static void more_slices_than_room_flush_themselves(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    char got[64], want[64];
    for (unsigned i = 0; i < 40; i++) {
        want[i] = (char)('0' + i);
        assert_int_equal(lt_stream_put(&side->s, &want[i], 1), LT_OK);
    }
    assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    assert_int_equal(peer_read(side, got, sizeof(got)), 40);
    assert_memory_equal(got, want, 40);
    side_close(side);
}

static void what_the_socket_refuses_is_kept_in_order(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    static char got[5 * sizeof(big)];
    size_t len = 0;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(lt_stream_put(&side->s, big, sizeof(big) / 2), LT_OK);
        assert_int_equal(lt_stream_put(&side->s, big + sizeof(big) / 2, sizeof(big) / 2), LT_OK);
        assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    }
    if (lt_stream_unsent(&side->s) == 0) {
        fail_msg("the kernel took it all");
    }
    RUN_UNTIL(side->loop, (len += peer_read(side, got + len, sizeof(got) - len)) == sizeof(got));
    for (unsigned i = 0; i < 5; i++) {
        assert_memory_equal(got + i * sizeof(big), big, sizeof(big));
    }
    RUN_UNTIL(side->loop, side->drains == 1);
    assert_int_equal(lt_stream_unsent(&side->s), 0);
    assert_false(ev_is_active(&side->s.wr));
    assert_true(run_for(side->loop, 30) < 10);
    assert_int_equal(side->drains, 1);
    side_close(side);
}

static void without_blocks_writing_fails_for_good(void **state)
{
    (void)state;
    struct side *side = new_side(false, 32768);
    enum lt_err err = LT_OK;
    for (unsigned i = 0; i < 50 && err == LT_OK; i++) {
        err = lt_stream_put(&side->s, big, 100000);
        err = err == LT_OK ? lt_stream_flush(&side->s) : err;
    }
    assert_int_equal(err, LT_ERR_LIMIT);
    assert_int_equal(lt_stream_put(&side->s, "x", 1), LT_ERR_LIMIT);
    assert_int_equal(lt_stream_flush(&side->s), LT_ERR_LIMIT);
    assert_int_equal(lt_stream_unsent(&side->s), 0);
    side_close(side);
}

static void pauses_until_the_last_reason_is_gone(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    lt_stream_pause(&side->s, 1);
    lt_stream_pause(&side->s, 2);
    assert_int_equal(write(side->peer, "x", 1), 1);
    assert_true(run_for(side->loop, 30) < 10); /* paused and readable: it must not spin */
    assert_int_equal(side->readables, 0);
    lt_stream_resume(&side->s, 1);
    lt_stream_resume(&side->s, 1);
    run_for(side->loop, 20);
    assert_int_equal(side->readables, 0);
    lt_stream_resume(&side->s, 2);
    RUN_UNTIL(side->loop, side->in_len == 1);
    side_close(side);
}

/* A closed peer keeps a socket readable and in error: a paused stream must not spin on that. */
static void a_paused_stream_sleeps_when_the_peer_is_gone(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    struct linger now = {.l_onoff = 1};
    lt_stream_pause(&side->s, 1);
    setsockopt(side->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(side->peer);
    side->peer = -1;
    assert_true(run_for(side->loop, 50) < 10);
    lt_stream_resume(&side->s, 1);
    RUN_UNTIL(side->loop, side->last == LT_ERR_RESET);
    assert_int_equal(side->s.sys_errno, ECONNRESET);
    assert_true(run_for(side->loop, 30) < 10);
    side_close(side);
}

static void may_be_closed_in_its_callbacks(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    side->close_on_readable = true;
    assert_int_equal(write(side->peer, "x", 1), 1);
    RUN_UNTIL(side->loop, side->readables == 1);
    assert_int_equal(side->s.fd, -1);
    lt_stream_close(&side->s); /* again is fine */
    run_for(side->loop, 10);
    assert_int_equal(side->readables, 1);
    side_close(side);

    static char got[sizeof(big)];
    side = new_side(true, BLOCKS_MAX);
    side->close_on_drained = true;
    for (unsigned i = 0; i < 8 && lt_stream_unsent(&side->s) == 0; i++) {
        assert_int_equal(lt_stream_put(&side->s, big, sizeof(big)), LT_OK);
        assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    }
    assert_true(lt_stream_unsent(&side->s) > 0);
    RUN_UNTIL(side->loop, (peer_read(side, got, sizeof(got)), side->drains == 1));
    assert_int_equal(side->s.fd, -1);
    side_close(side);
}

static void a_zeroed_stream_may_be_closed(void **state)
{
    (void)state;
    struct lt_stream s = {0};
    lt_stream_close(&s);
    lt_stream_reset(&s);
    assert_int_equal(s.fd, 0); /* and descriptor 0 is not touched */
    assert_true(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
}

static void reset_is_seen_as_one(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    char c;
    lt_stream_reset(&side->s);
    wait_readable(side->peer);
    assert_int_equal(recv(side->peer, &c, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    side_close(side);
}

/* The peer resets while output waits: the owner hears of it even though it isn't reading. */
static void a_failed_write_is_told(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    struct linger now = {.l_onoff = 1};
    lt_stream_pause(&side->s, 1);
    for (unsigned i = 0; i < 8 && lt_stream_unsent(&side->s) == 0; i++) {
        assert_int_equal(lt_stream_put(&side->s, big, sizeof(big)), LT_OK);
        assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    }
    assert_true(lt_stream_unsent(&side->s) > 0);
    setsockopt(side->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(side->peer);
    side->peer = -1;
    RUN_UNTIL(side->loop, side->drains == 1);
    assert_true(side->s.failed);
    assert_int_equal(lt_stream_unsent(&side->s), 0);
    assert_int_equal(lt_stream_put(&side->s, "x", 1), LT_ERR_RESET);
    lt_stream_resume(&side->s, 1);
    RUN_UNTIL(side->loop, side->last == LT_ERR_RESET);
    side_close(side);
}

/* A server that answers early and closes: our write fails, its answer can be read nevertheless. */
static void an_answer_is_read_after_a_failed_write(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    char c;
    size_t n;
    assert_int_equal(lt_stream_put(&side->s, "request", 7), LT_OK);
    assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    assert_int_equal(write(side->peer, "answer", 6), 6);
    close(side->peer); /* with unread bytes: a reset follows the answer */
    side->peer = -1;
    enum lt_err err = LT_OK;
    for (unsigned i = 0; i < 10 && err == LT_OK; i++) {
        err = lt_stream_put(&side->s, "more", 4);
        err = err == LT_OK ? lt_stream_flush(&side->s) : err;
    }
    assert_int_equal(err, LT_ERR_RESET);
    RUN_UNTIL(side->loop, side->last == LT_ERR_RESET);
    assert_int_equal(side->in_len, 6);
    assert_memory_equal(side->in, "answer", 6);
    assert_int_equal(lt_stream_recv(&side->s, &c, 1, &n), LT_ERR_RESET);
    side_close(side);
}

static void our_direction_ends_after_what_waits(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    static char got[sizeof(big)];
    size_t len = 0, want = 0;
    for (unsigned i = 0; i < 8 && lt_stream_unsent(&side->s) == 0; i++) {
        assert_int_equal(lt_stream_put(&side->s, big, sizeof(big)), LT_OK);
        assert_int_equal(lt_stream_flush(&side->s), LT_OK);
        want += sizeof(big);
    }
    assert_true(lt_stream_unsent(&side->s) > 0);
    lt_stream_shutdown(&side->s);
    RUN_UNTIL(side->loop, (len += peer_read(side, got, sizeof(got))) == want);
    RUN_UNTIL(side->loop, recv(side->peer, got, 1, 0) == 0);
    assert_int_equal(write(side->peer, "still", 5), 5);
    RUN_UNTIL(side->loop, side->in_len == 5);
    side_close(side);
}

static void what_was_put_leaves_before_the_end(void **state)
{
    (void)state;
    struct side *side = new_side(true, BLOCKS_MAX);
    char got[8];
    assert_int_equal(lt_stream_put(&side->s, "bye", 3), LT_OK);
    lt_stream_shutdown(&side->s);
    wait_readable(side->peer);
    assert_int_equal(recv(side->peer, got, sizeof(got), 0), 3);
    wait_readable(side->peer);
    assert_int_equal(recv(side->peer, got, sizeof(got), 0), 0);
    side_close(side);
}

static void a_new_owner_gets_the_callbacks(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    static struct side other;
    memset(&other, 0, sizeof(other));
    other.leave = true;
    lt_stream_own(&side->s, &ops, &other);
    assert_int_equal(write(side->peer, "x", 1), 1);
    RUN_UNTIL(side->loop, other.readables > 0);
    assert_int_equal(side->readables, 0);
    side_close(side);
}

/* What came but wasn't read, and what waits, go on with the new place. */
static void a_moved_stream_goes_on_at_its_new_place(void **state)
{
    (void)state;
    struct side *side = new_side(false, BLOCKS_MAX);
    static struct side other;
    memset(&other, 0, sizeof(other));
    other.loop = side->loop;
    assert_int_equal(lt_stream_put(&side->s, big, sizeof(big)), LT_OK);
    assert_int_equal(lt_stream_flush(&side->s), LT_OK);
    size_t waits = lt_stream_unsent(&side->s);
    assert_true(waits > 0);
    assert_int_equal(write(side->peer, "x", 1), 1);
    lt_stream_move(&other.s, &side->s, &ops, &other);
    assert_int_equal(side->s.fd, -1);
    assert_int_equal(lt_stream_unsent(&other.s), waits);
    RUN_UNTIL(side->loop, other.readables > 0);
    static char got[sizeof(big)];
    size_t n = 0;
    while (n < sizeof(big)) {
        ssize_t more = recv(side->peer, got + n, sizeof(got) - n, MSG_DONTWAIT);
        n += more > 0 ? (size_t)more : 0;
        ev_run(side->loop->ev, EVRUN_NOWAIT);
    }
    assert_memory_equal(got, big, sizeof(big));
    assert_int_equal(other.drains, 1);
    assert_int_equal(side->readables + side->drains, 0);
    lt_stream_close(&other.s);
    side_close(side);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 31 + i / 253);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_comes),
        cmocka_unit_test(a_short_read_ends_the_turn),
        cmocka_unit_test(a_full_read_asks_again),
        cmocka_unit_test(the_end_is_told_once_and_does_not_spin),
        cmocka_unit_test(slices_leave_in_order_and_together),
        cmocka_unit_test(more_slices_than_room_flush_themselves),
        cmocka_unit_test(what_the_socket_refuses_is_kept_in_order),
        cmocka_unit_test(without_blocks_writing_fails_for_good),
        cmocka_unit_test(pauses_until_the_last_reason_is_gone),
        cmocka_unit_test(a_paused_stream_sleeps_when_the_peer_is_gone),
        cmocka_unit_test(may_be_closed_in_its_callbacks),
        cmocka_unit_test(a_zeroed_stream_may_be_closed),
        cmocka_unit_test(reset_is_seen_as_one),
        cmocka_unit_test(a_failed_write_is_told),
        cmocka_unit_test(an_answer_is_read_after_a_failed_write),
        cmocka_unit_test(our_direction_ends_after_what_waits),
        cmocka_unit_test(what_was_put_leaves_before_the_end),
        cmocka_unit_test(silence_is_asked_for_at_the_socket),
        cmocka_unit_test(a_look_reads_without_an_event),
        cmocka_unit_test(taken_is_what_the_peer_has_made_room_for),
        cmocka_unit_test(a_new_owner_gets_the_callbacks),
        cmocka_unit_test(a_moved_stream_goes_on_at_its_new_place),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
