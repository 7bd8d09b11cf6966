/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts file (hosts(5)): addresses that a machine knows without asking. */
#ifndef LT_NET_HOSTS_H
#define LT_NET_HOSTS_H

#include "net/dns_answer.h"

/* The addresses of one family (AF_INET, AF_INET6) that text gives to name (a last dot doesn't
 * count), or that localhost has without one. *known: the name is there, with whatever family.
 * LT_ERR_NOMEM; out is empty then. */
enum lt_err lt_hosts_find(struct lt_str text, struct lt_str name, int family,
                          struct lt_dns_records *out, bool *known) LT_MUST_CHECK;

#endif
