/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of clients: the rows, and from them a site's policy. Loader and watcher threads. */
#include "config/load.h"
#include "net/tls_ca.h"
#include "net/tls_conf.h"

#include "base/clock.h"

#define AT(member) offsetof(struct lt_tls_clients_conf, member)

static const char *const verify[] = {"optional", "required", NULL};
static const char *const tell[] = {"subject", "san", "fingerprint", "certificate", NULL};

static const struct lt_row rows[] = {
    {.name = "ca",
     .type = LT_T_FILE,
     .offset = AT(ca),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .doc = "PEM file with the authorities that issue the clients' certificates.",
     .since = "0.1"},
    {.name = "verify",
     .type = LT_T_ENUM,
     .offset = AT(verify),
     .def = "required",
     .choices = verify,
     .doc = "`required`: nobody is served without a valid certificate, not by plain HTTP either. "
            "`optional`: clients may have none; one that isn't valid ends the handshake.",
     .since = "0.1"},
    {.name = "crl",
     .type = LT_T_FILE,
     .offset = AT(crl),
     .flags = LT_ROW_ABSENT_OK,
     .doc = "PEM file with revocation lists, one of each authority between a client's certificate "
            "and its root, the root's included. When one is out of date, nobody is let in whose "
            "certificate it is about.",
     .since = "0.1"},
    {.name = "depth",
     .type = LT_T_INT,
     .offset = AT(depth),
     .def = "3",
     .min = "0",
     .max = "10",
     .doc = "How many intermediate authorities may stand between a client's certificate and one of "
            "`ca`.",
     .since = "0.1"},
    {.name = "tell",
     .type = LT_T_LIST,
     .offset = AT(tell),
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_ENUM,
     .choices = tell,
     .doc = "What servers are told of a verified certificate: `subject` (X-Client-Cert-Subject), "
            "`san` (X-Client-Cert-San), `fingerprint` (X-Client-Cert-Fingerprint), `certificate` "
            "(Client-Cert, RFC 9440). Fields of these names never pass from a client, whoever "
            "sends them.",
     .since = "0.1"},
};

const struct lt_schema lt_tls_clients_schema = {
    .name = "site tls client",
    .doc = "Certificates of clients.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_tls_clients_conf),
};

static bool say(struct lt_schema_load *load, const struct lt_tls_clients_conf *conf,
                const char *row, const struct lt_tls_complaint *complaint)
{
    lt_diag_error(load->diags, lt_schema_pos(conf, row), complaint->hint, "%.*s",
                  LT_STR_ARG(complaint->why));
    return false;
}

static void warn_crl(struct lt_schema_load *load, const struct lt_tls_clients_conf *conf,
                     int64_t ends)
{
    if (ends <= (int64_t)(lt_clock_wall_us() / 1000000)) {
        lt_diag_warning(load->diags, lt_schema_pos(conf, "crl"), "fetch the newest one",
                        "%.*s: a revocation list is out of date: no client of its authority is "
                        "let in",
                        LT_STR_ARG(conf->crl));
    }
}

static bool load_trust(struct lt_schema_load *load, const struct lt_tls_clients_conf *conf,
                       X509_STORE **trust, int64_t *crl_ends)
{
    struct lt_tls_complaint complaint = {.hint = NULL};
    if (conf->ca.len == 0) {
        return false; /* which was said */
    }
    *trust = lt_tls_ca_load(load->files, load->arena, conf->ca, &complaint);
    if (*trust == NULL) {
        return say(load, conf, "ca", &complaint);
    }
    if (conf->crl.len > 0) {
        if (!lt_tls_crl_load(*trust, load->files, load->arena, conf->crl, crl_ends, &complaint)) {
            return say(load, conf, "crl", &complaint);
        }
        warn_crl(load, conf, *crl_ends);
    }
    return true;
}

struct lt_tls_policy *lt_tls_policy_load(struct lt_schema_load *load, const struct lt_tls_conf *top,
                                         const struct lt_tls_site_conf *site, int64_t *crl_ends)
{
    const struct lt_tls_clients_conf *conf = &site->client;
    const int *told = conf->tell.items;
    struct lt_tls_policy_spec spec = {.verify = LT_TLS_VERIFY_NONE};
    struct lt_tls_policy *policy = NULL;
    *crl_ends = INT64_MAX;
    if (lt_schema_is_set(site, offsetof(struct lt_tls_site_conf, client))) {
        spec.verify = (enum lt_tls_verify)(conf->verify + 1);
        spec.depth = (unsigned)conf->depth;
        for (size_t i = 0; i < conf->tell.n; i++) {
            spec.tell |= 1u << told[i];
        }
        if (!load_trust(load, conf, &spec.trust, crl_ends)) {
            goto out;
        }
    }
    if (!lt_tls_terms_resolve(load->arena, top, site, &spec.terms)) {
        load->nomem = true;
        goto out;
    }
    if (spec.terms.min_version > spec.terms.max_version) {
        lt_diag_error(load->diags, lt_schema_pos(site, "max_version"),
                      "the profile or the top-level `tls` asks for a newer min_version",
                      "no version of TLS is left for this site");
        goto out;
    }
    policy = lt_tls_policy_new(&spec);
    load->nomem |= policy == NULL;
out:
    X509_STORE_free(spec.trust);
    return policy;
}
