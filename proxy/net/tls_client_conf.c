/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of TLS towards servers, and what they name loaded with errors at their place. Loader
 * thread. */
#include "net/tls_client_conf.h"

#include <arpa/inet.h>

#include <openssl/evp.h>

#include "config/load.h"

#define TRUSTS_MAX 10000u
#define PIN_PREFIX "sha256/"
#define PIN_BASE64_LEN 44 /* of 32 bytes */

static const char *const versions[] = {"1.2", "1.3", NULL}; /* enum lt_tls_client_version */

/* One pin's 32 bytes; false: that is none. */
static bool decode_pin(struct lt_str text, unsigned char *out)
{
    unsigned char bytes[36];
    struct lt_str prefix = LT_STR(PIN_PREFIX);
    if (text.len != prefix.len + PIN_BASE64_LEN || !lt_str_starts(text, prefix) ||
        text.p[text.len - 1] != '=' || text.p[text.len - 2] == '=' ||
        EVP_DecodeBlock(bytes, (const unsigned char *)text.p + prefix.len, PIN_BASE64_LEN) != 33) {
        return false;
    }
    memcpy(out, bytes, LT_TLS_PIN_LEN);
    return true;
}

static void check_pin(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *pins = list->items;
    unsigned char bytes[LT_TLS_PIN_LEN];
    for (size_t i = 0; i < list->n; i++) {
        if (pins[i].p != NULL && !decode_pin(pins[i], bytes)) {
            lt_diag_error(load->diags, i < node->n_items ? node->items[i]->pos : node->pos,
                          "openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey -pubin "
                          "-outform DER | openssl dgst -sha256 -binary | base64",
                          "a pin is \"sha256/\" and the base64 of 32 bytes");
        }
    }
}

static void check_server_name(struct lt_schema_load *load, const struct lt_node *node,
                              const void *value)
{
    const struct lt_str *name = value;
    unsigned char ip[sizeof(struct in6_addr)];
    bool ok = true;
    for (size_t i = 0; i < name->len; i++) {
        char c = lt_char_lower(name->p[i]);
        ok &= (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || strchr("-._", c) != NULL;
    }
    if (!ok && inet_pton(AF_INET6, name->p, ip) != 1) {
        lt_diag_error(load->diags, node->pos,
                      "write a name such as app.internal, without scheme, port or brackets",
                      "server_name: \"%.*s\" is neither a host name nor an IP address",
                      LT_STR_ARG(*name));
    }
}

#define AT(member) offsetof(struct lt_tls_client_conf, member)

static const struct lt_row rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = AT(enabled),
     .def = "false",
     .doc = "Whether to speak TLS. `tls: true` and `tls: false` are short for this; any other key "
            "of `tls` switches it on.",
     .since = "0.1"},
    {.name = "verify",
     .type = LT_T_BOOL,
     .offset = AT(verify),
     .def = "true",
     .doc = "Whether a server has to show a certificate that is valid now, is issued by an "
            "authority that is trusted, and names the server. Without it whoever stands between "
            "can read and change everything, unless there is a `pin`.",
     .since = "0.1"},
    {.name = "ca",
     .type = LT_T_FILE,
     .offset = AT(ca),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "PEM file of the authorities that are trusted instead of those of the system. A "
            "server's own certificate may stand there too.",
     .since = "0.1"},
    {.name = "server_name",
     .type = LT_T_STRING,
     .offset = AT(server_name),
     .max = "253",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .check = check_server_name,
     .doc = "The name that a server's certificate has to be for, and that it is asked for (SNI). "
            "Without it: the upstream's `host` if that is a name, else the server's IP address. "
            "Unix sockets need one of the first two.",
     .since = "0.1"},
    {.name = "pin",
     .type = LT_T_LIST,
     .offset = AT(pin),
     .max = "16",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .item = LT_T_STRING,
     .check = check_pin,
     .doc = "Public keys, one of which the server's certificate has to hold: `sha256/` and the "
            "base64 of the SHA-256 of the key in DER form. Asked for besides `verify`, or, with "
            "`verify: false`, alone.",
     .since = "0.1"},
    {.name = "certificate",
     .type = LT_T_FILE,
     .offset = AT(certificate),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "PEM file with the certificate that Lintel shows to servers that ask for one, followed "
            "by those of its intermediate authorities.",
     .since = "0.1"},
    {.name = "key",
     .type = LT_T_FILE,
     .offset = AT(key),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "PEM file with its private key, without a pass phrase. May be the same file.",
     .since = "0.1"},
    {.name = "min_version",
     .type = LT_T_ENUM,
     .offset = AT(min_version),
     .def = "1.2",
     .choices = versions,
     .doc = "The oldest version of TLS that servers may speak. Ciphers are always forward secret "
            "and authenticated.",
     .since = "0.1"},
    {.name = "sessions",
     .type = LT_T_INT,
     .offset = AT(sessions),
     .def = "4",
     .min = "0",
     .max = "64",
     .doc = "Sessions that each worker remembers of a server, so that later handshakes are short. "
            "0: every handshake is a full one.",
     .since = "0.1"},
};

/* What is written about the certificate has to be whole. Files that are named and not used would
 * look as if they were. */
static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_tls_client_conf *conf = obj;
    if ((conf->certificate.len > 0) != (conf->key.len > 0)) {
        lt_diag_error(load->diags, lt_schema_pos(conf, conf->key.len > 0 ? "key" : "certificate"),
                      "name both; they may be the same file",
                      conf->key.len > 0 ? "there is a key but no certificate"
                                        : "there is a certificate but no key");
    }
    if (!conf->verify && conf->ca.len > 0) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "ca"), "leave one of the two out",
                      "with `verify: false` no authority is asked");
    }
    if (conf->enabled && !conf->verify && conf->pin.n == 0) {
        lt_diag_warning(load->diags, lt_schema_pos(conf, "verify"),
                        "name the authority with `ca`, or the server's key with `pin`",
                        "nothing is verified: anybody can pretend to be these servers");
    }
}

const struct lt_schema lt_tls_client_schema = {
    .name = "upstream tls",
    .doc = "TLS to the servers of an upstream.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_tls_client_conf),
    .shorthand = "enabled",
    .check = check,
};

/* ---- Files. ---- */

void lt_tls_trust_cache_init(struct lt_tls_trust_cache *cache, const struct lt_schema_load *load)
{
    lt_map_init(&cache->map, load->seed, TRUSTS_MAX);
}

void lt_tls_trust_cache_fini(struct lt_tls_trust_cache *cache)
{
    const struct lt_map_entry *e;
    for (size_t at = 0; (e = lt_map_next(&cache->map, &at)) != NULL;) {
        lt_tls_trust_free(e->value);
    }
    lt_map_fini(&cache->map);
}

static void say(struct lt_schema_load *load, const struct lt_tls_client_conf *conf, const char *row,
                const struct lt_tls_complaint *complaint)
{
    if (complaint->why.len > 0) {
        lt_diag_error(load->diags, lt_schema_pos(conf, row), complaint->hint, "%.*s",
                      LT_STR_ARG(complaint->why));
    }
}

/* Owned; NULL: it was said. */
static struct lt_tls_trust *load_trust(struct lt_schema_load *load,
                                       const struct lt_tls_client_conf *conf,
                                       struct lt_tls_trust_cache *cache)
{
    struct lt_str file = conf->ca.len > 0 ? conf->ca : lt_tls_trust_system(load->files);
    struct lt_tls_complaint complaint;
    if (file.len == 0) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "ca"),
                      "install ca-certificates, or name a file with `ca`",
                      "this system has no list of authorities");
        return NULL;
    }
    struct lt_tls_trust *trust = lt_map_get(&cache->map, file);
    if (trust != NULL) {
        return lt_tls_trust_ref(trust);
    }
    trust = lt_tls_trust_load(load->files, load->arena, file, &complaint);
    if (trust == NULL) {
        load->nomem |= complaint.why.len == 0;
        say(load, conf, "ca", &complaint);
    } else if (lt_map_set(&cache->map, file, trust) == LT_OK) {
        return lt_tls_trust_ref(trust);
    }
    return trust; /* without a place in the cache it is the caller's alone */
}

/* False: it was said. */
static bool load_cert(struct lt_schema_load *load, const struct lt_tls_client_conf *conf,
                      struct lt_tls_cert **out)
{
    struct lt_tls_wrong wrong;
    if (conf->certificate.len == 0 || conf->key.len == 0) {
        return true; /* none, or one is missing, which was said */
    }
    *out = lt_tls_cert_load(load->files, load->arena, conf->certificate, conf->key, &wrong);
    if (*out == NULL) {
        say(load, conf, "certificate", &wrong.certificate);
        say(load, conf, "key", &wrong.key);
        load->nomem |= wrong.certificate.why.len == 0 && wrong.key.why.len == 0;
    }
    return *out != NULL;
}

struct lt_tls_client_policy *lt_tls_client_conf_load(struct lt_schema_load *load,
                                                     const struct lt_tls_client_conf *conf,
                                                     struct lt_str name, unsigned offer,
                                                     struct lt_tls_trust_cache *cache)
{
    unsigned char pins[LT_TLS_PINS_MAX][LT_TLS_PIN_LEN];
    struct lt_tls_client_spec spec = {
        .name = conf->server_name.len > 0 ? conf->server_name : name,
        .pins = (const unsigned char(*)[LT_TLS_PIN_LEN])pins,
        .min_version = conf->min_version == LT_TLS_CLIENT_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION,
        .offer = offer,
        .sessions = (unsigned)conf->sessions,
    };
    struct lt_tls_client_policy *policy = NULL;
    const struct lt_str *texts = conf->pin.items;
    for (size_t i = 0; i < conf->pin.n && spec.n_pins < LT_TLS_PINS_MAX; i++) {
        if (texts[i].p != NULL && decode_pin(texts[i], pins[spec.n_pins])) {
            spec.n_pins++; /* else it was said */
        }
    }
    bool ok = load_cert(load, conf, &spec.cert);
    if (conf->verify) {
        spec.trust = load_trust(load, conf, cache);
        ok &= spec.trust != NULL;
    }
    if (ok) {
        policy = lt_tls_client_policy_new(&spec);
        load->nomem |= policy == NULL;
    }
    lt_tls_trust_free(spec.trust);
    lt_tls_cert_free(spec.cert);
    return policy;
}
