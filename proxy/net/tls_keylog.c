/* SPDX-License-Identifier: Apache-2.0 */
/* The key log of debug builds. Any thread; each line is one write, so that lines stay whole. */
#include "net/tls_keylog.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"

static int log_fd = -1;

static void open_log(void)
{
    const char *path = secure_getenv("SSLKEYLOGFILE");
    if (path != NULL) {
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        lt_log_warn("tls", log_fd >= 0 ? "key_log" : "key_log_failed",
                    LT_KV_STR("file", lt_str_c(path)));
    }
}

static void on_line(const SSL *ssl, const char *line)
{
    (void)ssl;
    const struct iovec iov[] = {{.iov_base = (char *)line, .iov_len = strlen(line)},
                                {.iov_base = (char *)"\n", .iov_len = 1}};
    ssize_t n = writev(log_fd, iov, 2);
    (void)n; /* as far as it goes: it is for debugging */
}

void lt_tls_keylog(SSL_CTX *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_log);
    if (log_fd >= 0) {
        SSL_CTX_set_keylog_callback(ctx, on_line);
    }
}
