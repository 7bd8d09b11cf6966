/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of TLS, and certificates loaded with errors at their place. Loader thread. */
#include "net/tls_conf.h"

#include <time.h>

#include "base/clock.h"
#include "config/load.h"

/* From so many seconds before its end on a certificate is warned of; one for a shorter time, in the
 * last third of it. */
#define SOON_S (INT64_C(14) * 86400)

#define AT(member) offsetof(struct lt_tls_cert_conf, member)

static const struct lt_row cert_rows[] = {
    {.name = "certificate",
     .type = LT_T_FILE,
     .offset = AT(certificate),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .doc = "PEM file with the certificate, followed by those of its intermediate authorities.",
     .since = "0.1"},
    {.name = "key",
     .type = LT_T_FILE,
     .offset = AT(key),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .doc = "PEM file with its private key, without a pass phrase. May be the same file.",
     .since = "0.1"},
};

static const struct lt_schema cert_schema = {
    .name = "certificate",
    .doc = "A certificate and its key.",
    .rows = cert_rows,
    .n_rows = lt_countof(cert_rows),
    .size = sizeof(struct lt_tls_cert_conf),
};

static const struct lt_row site_rows[] = {
    {.name = "certificates",
     .type = LT_T_LIST,
     .offset = offsetof(struct lt_tls_site_conf, certificates),
     .max = "8",
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .sub = &cert_schema,
     .item = LT_T_OBJECT,
     .doc = "The certificates for the site's hosts. Several if their keys are of different types "
            "(ECDSA and RSA): each client gets one that it understands.",
     .since = "0.1"},
};

const struct lt_schema lt_tls_site_schema = {
    .name = "site tls",
    .doc = "TLS of one site.",
    .rows = site_rows,
    .n_rows = lt_countof(site_rows),
    .size = sizeof(struct lt_tls_site_conf),
};

static const char *const versions[] = {"1.2", "1.3", NULL};

static const struct lt_row rows[] = {
    {.name = "min_version",
     .type = LT_T_ENUM,
     .offset = offsetof(struct lt_tls_conf, min_version),
     .def = "1.2",
     .choices = versions,
     .doc = "The oldest version of TLS that clients may speak. Ciphers are always forward secret "
            "and authenticated.",
     .since = "0.1"},
};

const struct lt_schema lt_tls_schema = {
    .name = "tls",
    .doc = "What holds for TLS on every listener.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_tls_conf),
};

int lt_tls_conf_version(const struct lt_tls_conf *conf)
{
    return conf->min_version == LT_TLS_MIN_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static void say_validity(struct lt_schema_load *load, struct lt_pos pos, struct lt_str file,
                         const char *what, int64_t when)
{
    time_t seconds = (time_t)when;
    struct tm tm;
    char date[32];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
    lt_diag_warning(load->diags, pos, "renew it, then reload", "%.*s: the certificate %s %s",
                    LT_STR_ARG(file), what, date);
}

/* A certificate that clients refuse is no reason to serve nobody: what is wrong with its time is a
 * warning. */
static void check_validity(struct lt_schema_load *load, const struct lt_tls_cert_conf *conf,
                           const struct lt_tls_cert *cert)
{
    int64_t now = (int64_t)(lt_clock_wall_us() / 1000000);
    int64_t from = lt_tls_cert_not_before(cert), to = lt_tls_cert_not_after(cert);
    struct lt_pos pos = lt_schema_pos(conf, "certificate");
    if (now >= to) {
        say_validity(load, pos, conf->certificate, "expired on", to);
    } else if (now < from) {
        say_validity(load, pos, conf->certificate, "is not valid before", from);
    } else if (to - now < lt_min(SOON_S, (to - from) / 3)) {
        say_validity(load, pos, conf->certificate, "expires soon, on", to);
    }
}

#define CACHED_MAX 100000u

void lt_tls_cert_cache_init(struct lt_tls_cert_cache *cache, const struct lt_schema_load *load)
{
    lt_map_init(&cache->map, load->seed, CACHED_MAX);
}

void lt_tls_cert_cache_fini(struct lt_tls_cert_cache *cache)
{
    const struct lt_map_entry *e;
    for (size_t at = 0; (e = lt_map_next(&cache->map, &at)) != NULL;) {
        lt_tls_cert_free(e->value);
    }
    lt_map_fini(&cache->map);
}

/* The certificate, owned by the caller; NULL and *wrong, which is empty without memory. */
static struct lt_tls_cert *load_once(struct lt_schema_load *load,
                                     const struct lt_tls_cert_conf *conf,
                                     struct lt_tls_cert_cache *cache, struct lt_tls_wrong *wrong)
{
    struct lt_str key;
    *wrong = (struct lt_tls_wrong){.certificate = {.hint = NULL}};
    if (!lt_arena_printf(load->arena, &key, "%.*s%c%.*s", LT_STR_ARG(conf->certificate), 0,
                         LT_STR_ARG(conf->key))) {
        return NULL;
    }
    struct lt_tls_cert *cert = lt_map_get(&cache->map, key);
    if (cert != NULL) {
        return lt_tls_cert_ref(cert);
    }
    cert = lt_tls_cert_load(load->files, load->arena, conf->certificate, conf->key, wrong);
    if (cert != NULL) {
        check_validity(load, conf, cert);
    }
    if (cert != NULL && lt_map_set(&cache->map, key, cert) == LT_OK) {
        return lt_tls_cert_ref(cert);
    }
    return cert; /* without a place in the cache it is the caller's alone */
}

/* False: there is nothing to say. */
static bool say(struct lt_schema_load *load, const struct lt_tls_cert_conf *conf, const char *row,
                const struct lt_tls_complaint *complaint)
{
    if (complaint->why.len > 0) {
        lt_diag_error(load->diags, lt_schema_pos(conf, row), complaint->hint, "%.*s",
                      LT_STR_ARG(complaint->why));
    }
    return complaint->why.len > 0;
}

bool lt_tls_conf_load(struct lt_schema_load *load, const struct lt_tls_site_conf *conf,
                      struct lt_tls_cert_cache *cache, struct lt_tls_cert **out)
{
    const struct lt_tls_cert_conf *items = conf->certificates.items;
    size_t n = conf->certificates.n;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        struct lt_tls_wrong wrong;
        if (items[i].certificate.len == 0 || items[i].key.len == 0) {
            ok = false; /* which was said */
            continue;
        }
        out[i] = load_once(load, &items[i], cache, &wrong);
        if (out[i] == NULL) {
            bool said = say(load, &items[i], "certificate", &wrong.certificate);
            said |= say(load, &items[i], "key", &wrong.key);
            load->nomem |= !said;
            ok = false;
        }
    }
    for (size_t i = 0; !ok && i < n; i++) {
        lt_tls_cert_free(out[i]);
        out[i] = NULL;
    }
    return ok;
}
