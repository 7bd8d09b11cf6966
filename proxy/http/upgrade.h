/* SPDX-License-Identifier: Apache-2.0 */
/* Upgrade: which protocols a client offers, which of them a server hears of, and which one it took
 * (RFC 9110 §7.8). No other version of HTTP is ever among them: a tunnel of it would carry requests
 * that nobody here has read. */
#ifndef LT_HTTP_UPGRADE_H
#define LT_HTTP_UPGRADE_H

#include "base/cause.h"
#include "http/message.h"

/* What a route may allow: a name, perhaps with "/version", no HTTP (h2c, h2, HTTP/...). */
bool lt_upgrade_may_allow(struct lt_str protocol);

/* Those protocols that req asks for and that are in allowed (n; without a version there, any
 * version will do; letter case doesn't matter), in the client's order. *offer is empty when there
 * are none, and always for HTTP/1.0, which knows no Upgrade. In the headers' arena. LT_ERR_NOMEM.
 */
enum lt_err lt_upgrade_offer(const struct lt_request *req, const struct lt_str *allowed, unsigned n,
                             struct lt_str *offer) LT_MUST_CHECK;

/* Judges a 101 to a request that made this offer, and sets res->upgrade to what its Upgrade names.
 * LT_CAUSE_NONE; LT_CAUSE_UPGRADE_UNEXPECTED: nothing was offered, or not all of what it names;
 * LT_CAUSE_RESPONSE_FRAMING_INVALID: it declares a body (RFC 9110 §8.6, RFC 9112 §6.1). */
enum lt_cause lt_upgrade_judge(struct lt_response *res, struct lt_str offer);

#endif
