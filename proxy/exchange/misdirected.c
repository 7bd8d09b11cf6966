/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request came by a connection on which its site may be asked. The name in the handshake
 * chose the policy of the connection, the Host chooses the site: without this look a client could
 * shake hands for a site that asks nobody for a certificate and then ask for one that does (RFC
 * 9110 section 7.4, RFC 6066 section 3). The worker's thread. */
#include "exchange/internal.h"
#include "net/tls_info.h"

bool lt_exchange_misdirected(const struct lt_exchange *x, const struct lt_view *view)
{
    const struct lt_tls_info *tls = x->tls;
    unsigned number;
    if (view->policy != NULL &&
        (tls == NULL || memcmp(tls->policy, view->policy->id, sizeof(tls->policy)) == 0)) {
        return false; /* whatever the site is */
    }
    if (view->policies == NULL ||
        !lt_router_site(view->router, x->listener, x->req.host, &number)) {
        return false;
    }
    const struct lt_tls_policy *policy = view->policies[number];
    if (tls == NULL) {
        return policy != NULL && policy->spec.verify == LT_TLS_VERIFY_REQUIRED;
    }
    if (policy == NULL) { /* the site says nothing of TLS: it knows of no clients' certificates */
        return tls->asks;
    }
    return memcmp(policy->id, tls->policy, sizeof(tls->policy)) != 0;
}
