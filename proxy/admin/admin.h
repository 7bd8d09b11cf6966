/* SPDX-License-Identifier: Apache-2.0 */
/* The admin socket: a small HTTP/1.1 server on the gateway's main loop. It answers GET /livez,
 * /readyz, /metrics and /status, and the control API (admin/control.h), one request per connection.
 */
#ifndef LT_ADMIN_ADMIN_H
#define LT_ADMIN_ADMIN_H

#include "server/gateway.h"

extern const struct lt_admin_ops lt_admin_ops;

#endif
