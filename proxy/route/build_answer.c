/* SPDX-License-Identifier: Apache-2.0 */
/* What routes have for their answers: compression and pages for errors, each from the levels around
 * them. Loader thread. */
#include "route/build_impl.h"
#include "route/compress_options.h"
#include "route/error_pages.h"

void lt_route_build_answers(struct lt_route_build *b)
{
    const struct lt_router_spec *spec = b->spec;
    if (spec->errors != NULL) {
        b->router->errors =
            lt_error_pages_read(b->load, &b->pages, spec->defaults, spec->errors, NULL);
    }
    for (unsigned i = 0; i < spec->n_listeners; i++) {
        const struct lt_compress_conf *conf = spec->listeners[i].compress;
        if (conf != NULL &&
            !lt_compress_options_make(b->load, &conf, 1, &b->inherited[i].compress)) {
            lt_route_nomem(b);
        }
    }
}

void lt_route_add_pages(struct lt_route_build *b, struct lt_route_site *site)
{
    site->errors = lt_error_pages_read(b->load, &b->pages, &site->conf->conf, &site->conf->errors,
                                       b->router->errors);
}

void lt_route_set_pages(struct lt_route_build *b, const struct lt_route_site *site,
                        struct lt_route_compiled *c)
{
    c->route->errors =
        lt_error_pages_read(b->load, &b->pages, &c->conf->conf, &c->conf->errors, site->errors);
}

void lt_route_set_compress(struct lt_route_build *b, const struct lt_route_compiled *c,
                           struct lt_route_options *options)
{
    for (unsigned i = 0; i < b->spec->n_listeners; i++) {
        const struct lt_compress_conf *levels[] = {&c->conf->compress, &c->site_conf->compress,
                                                   b->spec->listeners[i].compress};
        if (levels[2] == NULL) {
            continue; /* a number that no listener has now */
        }
        if (!lt_compress_options_make(b->load, levels, lt_countof(levels), &options[i].compress)) {
            lt_route_nomem(b);
        }
    }
}
