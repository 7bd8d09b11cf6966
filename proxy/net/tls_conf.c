/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of TLS, and certificates loaded with errors at their place. Loader thread. */
#include "net/tls_conf.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "config/load.h"

#define AT(member) offsetof(struct lt_tls_cert_conf, member)

static const char *const missing[] = {"error", "temporary", NULL}; /* enum lt_tls_missing */

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
    {.name = "missing",
     .type = LT_T_ENUM,
     .offset = AT(missing),
     .def = "error",
     .choices = missing,
     .doc = "What happens while one of the files isn't there. `temporary`: a self-signed "
            "certificate, which no client trusts, stands in for it until both are, so that Lintel "
            "can start before its first certificate is issued.",
     .since = "0.1"},
};

static const struct lt_schema cert_schema = {
    .name = "certificate",
    .doc = "A certificate and its key.",
    .rows = cert_rows,
    .n_rows = lt_countof(cert_rows),
    .size = sizeof(struct lt_tls_cert_conf),
};

static const char *const profiles[] = {"modern", "intermediate", NULL};
static const char *const versions[] = {"1.2", "1.3", NULL};

/* The rows of struct lt_tls_terms_conf in `holder`; the profile's default is text or NULL. */
#define TERMS_ROWS(holder, profile_def, profile_flags)                                             \
    {.name = "profile",                                                                            \
     .type = LT_T_ENUM,                                                                            \
     .offset = offsetof(holder, terms.profile),                                                    \
     .def = (profile_def),                                                                         \
     .flags = (profile_flags),                                                                     \
     .choices = profiles,                                                                          \
     .doc =                                                                                        \
         "What clients may speak, as a whole. `modern`: TLS 1.3 alone. `intermediate`: TLS 1.2 "   \
         "too, with ciphers that are forward secret and authenticated, for all clients of the "    \
         "last ten years. A site that names one starts from that, whatever stands at the top; "    \
         "the options below change parts of it.",                                                  \
     .since = "0.1"},                                                                              \
        {.name = "min_version",                                                                    \
         .type = LT_T_ENUM,                                                                        \
         .offset = offsetof(holder, terms.min_version),                                            \
         .flags = LT_ROW_ABSENT_OK,                                                                \
         .choices = versions,                                                                      \
         .doc = "The oldest version of TLS that clients may speak. Without it the profile's: 1.2 " \
                "of `intermediate`, 1.3 of `modern`.",                                             \
         .since = "0.1"},                                                                          \
        {.name = "max_version",                                                                    \
         .type = LT_T_ENUM,                                                                        \
         .offset = offsetof(holder, terms.max_version),                                            \
         .flags = LT_ROW_ABSENT_OK,                                                                \
         .choices = versions,                                                                      \
         .doc = "The newest version of TLS. Without it 1.3.",                                      \
         .since = "0.1"},                                                                          \
        {.name = "ciphers",                                                                        \
         .type = LT_T_LIST,                                                                        \
         .offset = offsetof(holder, terms.ciphers),                                                \
         .max = "64",                                                                              \
         .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,                                              \
         .item = LT_T_STRING,                                                                      \
         .check = lt_tls_check_ciphers,                                                            \
         .doc = "The ciphers of TLS 1.2, the preferred one first, by their names in OpenSSL "      \
                "(`ECDHE-RSA-AES128-GCM-SHA256`). Without it the profile's.",                      \
         .since = "0.1"},                                                                          \
        {.name = "ciphersuites",                                                                   \
         .type = LT_T_LIST,                                                                        \
         .offset = offsetof(holder, terms.ciphersuites),                                           \
         .max = "16",                                                                              \
         .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,                                              \
         .item = LT_T_STRING,                                                                      \
         .check = lt_tls_check_suites,                                                             \
         .doc = "The ciphers of TLS 1.3, the preferred one first (`TLS_AES_128_GCM_SHA256`). "     \
                "Without it the profile's.",                                                       \
         .since = "0.1"},                                                                          \
    {                                                                                              \
        .name = "groups", .type = LT_T_LIST, .offset = offsetof(holder, terms.groups),             \
        .max = "16", .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY, .item = LT_T_STRING,             \
        .check = lt_tls_check_groups,                                                              \
        .doc = "The groups for the key exchange, the preferred one first (`X25519`, `P-256`). "    \
               "Without it the profile's.",                                                        \
        .since = "0.1"                                                                             \
    }

/* Across rows that are all valid. */
static void check_versions(struct lt_schema_load *load, void *obj, size_t min_at, size_t max_at,
                           const struct lt_tls_terms_conf *terms)
{
    if (lt_schema_is_set(obj, min_at) && lt_schema_is_set(obj, max_at) &&
        terms->min_version > terms->max_version) {
        lt_diag_error(load->diags, lt_schema_pos(obj, "max_version"), "leave one of the two out",
                      "max_version is older than min_version");
    }
}

static void check_site(struct lt_schema_load *load, void *obj)
{
    const struct lt_tls_site_conf *site = obj;
    check_versions(load, obj, offsetof(struct lt_tls_site_conf, terms.min_version),
                   offsetof(struct lt_tls_site_conf, terms.max_version), &site->terms);
}

static const struct lt_row site_rows[] = {
    {.name = "certificates",
     .type = LT_T_LIST,
     .offset = offsetof(struct lt_tls_site_conf, certificates),
     .max = "8",
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .sub = &cert_schema,
     .item = LT_T_OBJECT,
     .doc = "The certificates for the site's hosts. Several if their keys are of different types "
            "(ECDSA and RSA): each client gets one that it understands. The files are watched "
            "(`tls.watch` at the top) and taken up when they change.",
     .since = "0.1"},
    {.name = "client",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct lt_tls_site_conf, client),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &lt_tls_clients_schema,
     .doc = "Asks clients for certificates of their own.",
     .since = "0.1"},
    TERMS_ROWS(struct lt_tls_site_conf, NULL, LT_ROW_ABSENT_OK),
};

const struct lt_schema lt_tls_site_schema = {
    .name = "site tls",
    .doc = "TLS of one site.",
    .rows = site_rows,
    .n_rows = lt_countof(site_rows),
    .size = sizeof(struct lt_tls_site_conf),
    .check = check_site,
};

static const struct lt_row ticket_rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = offsetof(struct lt_tls_tickets_conf, enabled),
     .def = "true",
     .doc = "Whether clients get tickets, with which they come back without a full handshake.",
     .since = "0.1"},
    {.name = "rotate",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_tls_tickets_conf, rotate_ms),
     .def = "12h",
     .min = "1s",
     .max = "7d",
     .doc = "How long tickets are made with one key. The three keys before it still open theirs. "
            "They are kept over reloads and restarts of the gateway, in memory alone.",
     .since = "0.1"},
    {.name = "lifetime",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_tls_tickets_conf, lifetime_ms),
     .def = "2h",
     .min = "1s",
     .max = "7d",
     .doc = "How long a ticket is good for; at most three times `rotate`.",
     .since = "0.1"},
    {.name = "file",
     .type = LT_T_FILE,
     .offset = offsetof(struct lt_tls_tickets_conf, file),
     .flags = LT_ROW_ABSENT_OK,
     .doc = "File with the keys of a fleet, so that a client may come back to any of its machines: "
            "one to four lines, each 80 random bytes in base64 (`openssl rand -base64 80 | tr -d "
            "'\\n'`). Tickets are made with the first; all open theirs. `rotate` is then the "
            "fleet's to do: the file is watched, and taken up when it changes.",
     .since = "0.1"},
};

static void check_tickets(struct lt_schema_load *load, void *obj)
{
    const struct lt_tls_tickets_conf *tickets = obj;
    if (tickets->file.len == 0 && tickets->lifetime_ms > 3 * tickets->rotate_ms) {
        lt_diag_error(load->diags, lt_schema_pos(obj, "rotate"),
                      "raise `rotate`, or lower `lifetime`",
                      "tickets would live longer than the keys that open them");
    }
}

static const struct lt_schema tickets_schema = {
    .name = "tickets",
    .doc = "Tickets, by which sessions are resumed.",
    .rows = ticket_rows,
    .n_rows = lt_countof(ticket_rows),
    .size = sizeof(struct lt_tls_tickets_conf),
    .check = check_tickets,
};

static const char *const unknown[] = {"default", "refuse", NULL};

static const struct lt_row rows[] = {
    TERMS_ROWS(struct lt_tls_conf, "intermediate", 0),
    {.name = "unknown_names",
     .type = LT_T_ENUM,
     .offset = offsetof(struct lt_tls_conf, unknown_names),
     .def = "default",
     .choices = unknown,
     .doc = "What clients get that ask for a server name which no site has. `default`: the "
            "certificate of the site with `default: true`; without one they are refused. `refuse`: "
            "the alert unrecognized_name in any case. Clients that name no server get the default "
            "site's certificate, else the first one.",
     .since = "0.1"},
    {.name = "tickets",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct lt_tls_conf, tickets),
     .sub = &tickets_schema,
     .doc = "Tickets, by which sessions are resumed.",
     .since = "0.1"},
    {.name = "watch",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_tls_conf, watch_ms),
     .def = "2s",
     .max = "1d",
     .doc =
         "How often is looked whether certificates, keys, authorities, revocation lists or keys of "
         "tickets have changed on disk. What has changed is taken up once it stays the same from "
         "one look to the next; a bad file is reported and what was there before stays. 0: "
         "only a reload takes them up.",
     .since = "0.1"},
};

static void check_top(struct lt_schema_load *load, void *obj)
{
    const struct lt_tls_conf *conf = obj;
    check_versions(load, obj, offsetof(struct lt_tls_conf, terms.min_version),
                   offsetof(struct lt_tls_conf, terms.max_version), &conf->terms);
}

const struct lt_schema lt_tls_schema = {
    .name = "tls",
    .doc = "What holds for TLS on every listener.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_tls_conf),
    .check = check_top,
};

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
    } else if (to - now < lt_min(LT_TLS_SOON_S, (to - from) / 3)) {
        say_validity(load, pos, conf->certificate, "expires soon, on", to);
    }
}

/* A file in a folder that is closed to us isn't missing. */
static bool is_missing(struct lt_schema_load *load, struct lt_str file)
{
    struct stat st;
    errno = ENOENT; /* what was kept from an earlier load knows no other reason */
    return !lt_files_stat(load->files, file.p, &st) && errno == ENOENT;
}

struct lt_tls_cert *lt_tls_cert_conf_stand_in(struct lt_schema_load *load,
                                              const struct lt_tls_cert_conf *conf)
{
    if (conf->missing != LT_TLS_MISSING_TEMPORARY) {
        return NULL;
    }
    bool no_cert = is_missing(load, conf->certificate);
    if (!no_cert && !is_missing(load, conf->key)) {
        return NULL;
    }
    struct lt_str file = no_cert ? conf->certificate : conf->key;
    lt_diag_warning(load->diags, lt_schema_pos(conf, no_cert ? "certificate" : "key"),
                    "get one from an authority; clients refuse the temporary one",
                    "%.*s isn't there yet: a temporary certificate stands in for it",
                    LT_STR_ARG(file));
    struct lt_tls_cert *cert = lt_tls_cert_temporary();
    load->nomem |= cert == NULL;
    return cert;
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

struct lt_tls_cert *lt_tls_cert_conf_load(struct lt_schema_load *load,
                                          const struct lt_tls_cert_conf *conf)
{
    struct lt_tls_wrong wrong;
    if (conf->certificate.len == 0 || conf->key.len == 0) {
        return NULL; /* which was said */
    }
    struct lt_tls_cert *cert =
        lt_tls_cert_load(load->files, load->arena, conf->certificate, conf->key, &wrong);
    if (cert != NULL) {
        check_validity(load, conf, cert);
        return cert;
    }
    bool said = say(load, conf, "certificate", &wrong.certificate);
    said |= say(load, conf, "key", &wrong.key);
    load->nomem |= !said;
    return NULL;
}
