/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of requests of our own share: a loop, names that nobody resolves, and a service
 * that the test plays, on a port of the loopback. */
#ifndef LT_TESTS_UNIT_SERVICE_ENV_H
#define LT_TESTS_UNIT_SERVICE_ENV_H

#include "base/mem.h"
#include "net/addresses.h"
#include "net_env.h"

static struct lt_loop *loop;
static struct lt_addresses *addresses;
static struct lt_address_question *question; /* the last one; NULL: none was asked */
static int listener;
static unsigned port;

static void on_ask(struct lt_address_question *q)
{
    question = q;
}

static void service_setup(void)
{
    struct lt_addr address = {.in = {.sin_family = AF_INET}, .len = sizeof(address.in)};
    address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, &address.sa, address.len), 0);
    assert_int_equal(listen(listener, 300), 0);
    assert_int_equal(getsockname(listener, &address.sa, &address.len), 0);
    port = lt_addr_port(&address);
    question = NULL;
    loop = lt_loop_new(BLOCKS_MAX);
    assert_non_null(loop);
    addresses = lt_addresses_new(loop, on_ask, NULL);
    assert_non_null(addresses);
}

/* When the loop has settled and nobody uses the addresses. */
static void service_teardown(void)
{
    lt_addresses_free(addresses);
    lt_free(question);
    lt_loop_free(loop);
    close(listener);
}

static int accept_one(void)
{
    int fd = -1;
    RUN_UNTIL(loop, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    return fd;
}

#endif
