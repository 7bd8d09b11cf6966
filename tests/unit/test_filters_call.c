/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks are run in order, may wait, may answer, and are stopped; ctx gives and takes what it says.
 */
#include "filter_bed.h"
#include "http/uri.h"

/* Runs the request hook of one filter; a failure of the filter fails the test. */
static struct lt_exchange *runs(const char *text)
{
    load_one(text, ", on_error: closed");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("refused: %.*s", LT_STR_ARG(x->detail));
    }
    return x;
}

/* Runs body in a request hook and expects it to raise. */
static void raises(const char *body, const char *message)
{
    char text[1024];
    snprintf(text, sizeof(text), "return {request = function(ctx) %s end}", body);
    load_one(text, ", on_error: closed");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    if (lt_str_find(x->detail, lt_str_c(message)) == SIZE_MAX) {
        fail_msg("%s raised \"%.*s\"", body, LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

static void test_request_can_be_read(void **state)
{
    (void)state;
    write_file("a.lua", "return {request = function(ctx)\n"
                        "local r, h = ctx.req, ctx.req.headers\n"
                        "local all = {r.method, r.path, r.target, r.host, r.scheme,\n"
                        "  r.http_version, r.query.a, r.query.b, tostring(r.query.c),\n"
                        "  r:bearer(), r:cookie('sid'), tostring(r:cookie('no')), h['X-Two'],\n"
                        "  #h:all('x-two'), ctx.client.ip, ctx.client.peer_ip,\n"
                        "  tostring(ctx.client.tls), ctx.route.name, ctx.route.site,\n"
                        "  tostring(ctx.upstream.name), tostring(ctx.user), #ctx.id, ctx.cause,\n"
                        "  ctx.elapsed, ctx.name, tostring(ctx.state)}\n"
                        "h['x-all'] = table.concat(all, '|')\n"
                        "local names = {}\n"
                        "for k, v in pairs(h) do names[#names + 1] = k .. '=' .. v end\n"
                        "h['x-names'] = table.concat(names, '&', 1, 2)\n"
                        "end}");
    load_well("a: {filter: \"@/a.lua\", on_error: closed}\n");
    struct lt_exchange *x = begin();
    with_header(x, "Authorization", "bearer tok-1");
    with_header(x, "Cookie", "a=b; sid=42");
    with_header(x, "X-Two", "one");
    with_header(x, "x-two", "two");
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("refused: %.*s", LT_STR_ARG(x->detail));
    }
    assert_str(req_header(x, "x-all"),
               "GET|/path|/p%61th?a=1&b=x%20y|example.com|http|1.1|1|x y|nil|tok-1|42|nil|one|2|"
               "192.0.2.7|192.0.2.7|nil|/*|test|nil|nil|32|ok|0.0|a|nil");
    assert_str(req_header(x, "x-names"), "authorization=bearer tok-1&cookie=a=b; sid=42");
}

static void test_request_headers_can_be_changed(void **state)
{
    (void)state;
    struct lt_exchange *x =
        runs("return {request = function(ctx) local h = ctx.req.headers\n"
             "h['X-A'] = 'one' h['x-a'] = 'two' h:add('x-b', 1) h:add('x-b', 2.5)\n"
             "h['user-agent'] = 'lua' h['X-API-Key'] = 'k' h['x-api-key'] = nil\n"
             "h['x-gone'] = nil h['x-trim'] = '  v\\t' end}");
    assert_str(req_header(x, "x-a"), "two");
    assert_str(req_header(x, "x-b"), "1");
    assert_str(req_header(x, "User-Agent"), "lua");
    assert_str(req_header(x, "x-trim"), "v");
    assert_null(lt_headers_get(&x->req.headers, LT_HEADER_X_API_KEY));
    assert_int_equal(x->req.headers.n, 5);
}

static void test_header_injection_raises(void **state)
{
    (void)state;
    raises("ctx.req.headers['x-a'] = 'a\\r\\nx: y'", "holds CR");
    raises("ctx.req.headers['x-a'] = 'a\\0b'", "holds CR");
    raises("ctx.req.headers['x a'] = 'a'", "not a name of a header");
    raises("ctx.req.headers['x\\n'] = 'a'", "not a name of a header");
    raises("ctx.req.headers[''] = 'a'", "not a name of a header");
    raises("ctx.req.headers['x-a'] = {}", "is a table: write a string");
    raises("ctx.req.headers['Content-Length'] = '5'", "Lintel's own");
    raises("ctx.req.headers['transfer-encoding'] = nil", "Lintel's own");
    raises("ctx.req.headers:add('connection', 'close')", "Lintel's own");
    raises("return ctx:deny(403, 'no', {['x-a'] = 'b\\nc'})", "holds CR");
    raises("return ctx:redirect('/x\\r\\nset-cookie: a')", "holds CR");
    raises("for i = 1, 1000 do ctx.req.headers['x-' .. i] = 'a' end", "too many headers");
}

/* Each of these would have been dropped on the way to the server without a word. */
static void test_a_request_header_that_would_not_arrive_raises(void **state)
{
    (void)state;
    raises("ctx.req.headers.host = 'other'", "'host' is Lintel's own");
    raises("ctx.req.headers.host = nil", "'host' is Lintel's own");
    raises("ctx.req.headers['X-Forwarded-For'] = '192.0.2.1'", "Lintel's own");
    raises("ctx.req.headers['x-real-ip'] = '192.0.2.1'", "Lintel's own");
    raises("ctx.req.headers['x-request-id'] = '1'", "Lintel's own");
    raises("ctx.req.headers.traceparent = '1'", "Lintel's own");
    raises("ctx.req.headers.remote_user = 'alice'", "Lintel's own");
    raises("ctx.req.headers.x_user = 'alice'", "reaches no server");
}

static void test_headers_can_be_written_only_where_somebody_sees_them(void **state)
{
    (void)state;
    load_one("return {on_error = 'closed', request = function() end, response = function(ctx) "
             "ctx.req.headers['x-a'] = '1' end}",
             "");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_FAIL);
    assert_non_null(strstr(logged, "can be written in `request` and `upstream` only"));
    lt_test_bed_end(bed);
    load_one("return {request = function() end, log = function(ctx) ctx.res.headers.a = 'b' end}",
             "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "can be written in `response` only"));
    lt_test_bed_end(bed);
    load_one("return {request = function() end, log = function(ctx) ctx.res.headers:add('a', 'b') "
             "end}",
             "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "the response has left already"));
}

/* A client that names X-Consumer in Connection had the field taken off that the filter set. */
static void test_connection_takes_nothing_off_that_a_filter_set(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) ctx.req.headers['x-consumer'] = 'acme' "
             "ctx.req.headers['x-seen'] = ctx.req.headers['x-mine'] or 'no' end}",
             "");
    struct lt_exchange *x = begin();
    with_header(x, "Connection", "close, X-Consumer, X-Mine");
    with_header(x, "X-Mine", "1");
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-consumer"), "acme");
    assert_str(req_header(x, "x-seen"), "no");
    assert_false(lt_headers_has_token(&x->req.headers, LT_HEADER_CONNECTION, LT_STR("x-consumer")));
}

/* An answer could not be made when a filter had used the exchange's memory up. */
static void test_a_filter_leaves_memory_for_an_answer(void **state)
{
    (void)state;
    load_one("return {group = 'auth', request = function(ctx) "
             "while true do ctx.req.headers['x-a'] = ('a'):rep(1000) end end}",
             ", budget: {cpu: 5s}");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    assert_non_null(strstr(logged, "the exchange has no memory left"));
    assert_non_null(lt_arena_alloc(&x->arena, 100000));
}

/* What `request` adds to the response joins it before `response` hooks run, and also an answer of
 * our own. */
static void test_request_may_add_to_the_response_to_come(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) local h = ctx.res.headers h:add('x-left', 7) "
             "h:add('X-Left', '8') lintel.limit.announce(ctx, 'free', '\"free\";q=2;w=1', 1, 3) "
             "end, response = function(ctx) local h = ctx.res.headers "
             "h['x-seen'] = table.concat(h:all('x-left'), '+') end}",
             ", on_error: closed");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(x->res.headers.n, 6);
    assert_str(lt_headers_get_name(&x->res.headers, LT_STR("x-seen"))->value, "7+8");
    assert_str(lt_headers_value(&x->res.headers, LT_HEADER_RATELIMIT), "\"free\";r=1;t=3");
    assert_str(lt_headers_value(&x->res.headers, LT_HEADER_RATELIMIT_POLICY), "\"free\";q=2;w=1");
    lt_test_bed_end(bed);
    /* A response that takes no more fields goes out without them. */
    load_one("return {request = function(ctx) ctx.res.headers:add('x-a', '1') end}", "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    x->res.headers.max = x->res.headers.cap = x->res.headers.n;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(x->res.headers.n, 1);
}

static void test_wrong_use_raises(void **state)
{
    (void)state;
    raises("return ctx.req.methud", "ctx.req has no 'methud'; did you mean 'method'?");
    raises("return ctx.req.heders['x']", "ctx.req has no 'heders'; did you mean 'headers'?");
    raises("return ctx.req.url", "ctx.req has no 'url'; it has bearer, body, cookie, headers, ");
    raises("return ctx.clint", "ctx has no 'clint'; did you mean 'client'?");
    raises("return ctx:denny(401)", "ctx has no 'denny'; did you mean 'deny'?");
    raises("return ctx.res.staus", "ctx.res has no 'staus'; did you mean 'status'?");
    raises("ctx.res.staus = 1", "ctx.res.staus can't be set: what can is status, and fields");
    raises("return ctx.upstream.pol", "ctx.upstream has no 'pol'");
    raises("return lintel[1]", "lintel has nothing under a number");
    raises("ctx.log.warning('x')", "ctx.log has no 'warning'; did you mean 'warn'?");
    raises("return lintel.htp.get('x')", "lintel has no 'htp'; did you mean 'http'?");
    raises("return lintel.http.gte('x')", "lintel.http has no 'gte'; did you mean 'get'?");
    raises("return lintel.foo", "lintel has no 'foo'; it has cache, ");
    raises("return lintel.shared.open():gett('x')", "shared has no 'gett'; did you mean 'get'?");
    raises("return string.trim('x')", "string has no 'trim'; it has byte, ");
    raises("return ('x'):uper()", "string has no 'uper'; did you mean 'upper'?");
    raises("return table.unpak({})", "table has no 'unpak'; did you mean 'unpack'?");
    raises("ctx.req.path = '/x'", "'path' can't be set");
    raises("ctx.req = nil", "ctx.req can't be set");
    raises("ctx.conf.x = 1", "can't be changed");
    raises("return ctx.res.status", "there is no response yet");
    raises("return ctx.res.headers['x']", "there is no response yet");
    raises("ctx.res.headers['x'] = '1'", "there is no response yet");
    raises("ctx.res.headers:add('x', 'a\\nb')", "another control byte");
    raises("ctx.res.headers:add('content-length', '1')", "Lintel's own");
    raises("for i = 1, 201 do ctx.res.headers:add('x', '1') end", "too many headers");
    raises("ctx.deny(403, 'x')", "ctx expected");
    raises("return ctx:deny(200, 'x')", "400 to 599");
    raises("return ctx:deny(403, 'Not An Id')", "a reason is an id");
    raises("return ctx:respond{status = 99}", "200 to 599");
    raises("return ctx:respond{status = 204, body = 'x'}", "has no body");
    raises("return ctx:respond{stauts = 204}",
           "respond: `stauts` is not known here: did you mean `status`?");
    raises("return ctx:respond{body = {}}", "`body` is a string, not a table: `json` is for");
    raises("ctx.log:info('x')", "write log.info(message, fields), with a dot");
    raises("return ctx.conf.hdie", "conf has no 'hdie'");
    raises("return ctx:respond{body = 'x', json = {}}", "either `body` or `json`");
    raises("return ctx:respond{json = function() end}", "no form in JSON");
    raises("return ctx:redirect('/', 200)", "a redirect is");
    raises("ctx:sleep('soon')", "write seconds");
    raises("ctx:sleep(-1)", "between 0 and 3600");
    raises("ctx.log.info('x', {time = 1})", "none of Lintel's own");
    raises("ctx.log.info('x', {['a b'] = 1})", "small letters");
    raises("ctx.user = {claims = {a = 1}}", "user.claims is a table with names");
    raises("ctx.user = {groups = {'a', {}}}", "user.groups: value 2 is a table");
    raises("ctx.user = {id = ctx}", "user.id is a userdata: fields of a user are texts, or lists");
    raises("local l = {} for i = 1, 1001 do l[i] = i end ctx.user = {groups = l}",
           "more than 1000 values");
    raises("ctx.req.query.a = '1'", "can be removed, by nil");
    raises("ctx.user = 'alice'", "ctx.user is a table such as");
    raises("return getmetatable(ctx).__index", "attempt to index a boolean");
    raises("return 1",
           "a.lua:1: `request` returned a number: a hook returns nothing, or what ctx:deny");
    raises("return {}", "returned a table: a hook returns nothing");
    raises("ctx:deny(403, 'forgotten')",
           "a.lua:1: `request` made an answer and did not return it: write `return ctx:deny");
    raises("local d = ctx:deny(403, 'x') return d, 1", "returned several values: a hook");
    raises("error()", "an error object of type nil");
}

static void test_deny_answers(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) return ctx:deny(401, 'no_key', "
             "{['WWW-Authenticate'] = 'ApiKey', ['retry-after'] = 3}) end}",
             "");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_true(x->reply.ready);
    assert_int_equal(x->reply.status, 401);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_DENIED);
    assert_str(x->reply.reason, "no_key");
    assert_str(x->denied_by, "a");
    assert_null(x->reply.body.p);
    assert_str(lt_headers_value(&x->reply.headers, LT_HEADER_WWW_AUTHENTICATE), "ApiKey");
    assert_str(lt_headers_value(&x->reply.headers, LT_HEADER_RETRY_AFTER), "3");
}

static void test_respond_and_redirect_answer(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) return ctx:respond{status = 202, "
             "json = {ok = true}, headers = {['x-a'] = 'b'}} end}",
             "");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->reply.status, 202);
    assert_int_equal(x->cause, LT_CAUSE_NONE);
    assert_str(x->reply.body, "{\"ok\":true}");
    assert_str(x->reply.content_type, "application/json");
    load_one("return {request = function(ctx) return ctx:respond{body = '<p>', "
             "headers = {['Content-Type'] = 'text/html'}} end}",
             "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->reply.status, 200);
    assert_int_equal(x->reply.content_type.len, 0);
    assert_str(lt_headers_value(&x->reply.headers, LT_HEADER_CONTENT_TYPE), "text/html");
    load_one("return {request = function(ctx) return ctx:respond{json = ('x'):rep(100000)} end}",
             "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->reply.body.len, 100002);
    load_one("return {request = function(ctx) return ctx:redirect('https://b/' , 308) end}", "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->reply.status, 308);
    assert_str(lt_headers_value(&x->reply.headers, LT_HEADER_LOCATION), "https://b/");
}

static void test_response_can_be_edited_and_replaced(void **state)
{
    (void)state;
    load_one("return {response = function(ctx) local h = ctx.res.headers\n"
             "h['x-was'] = ctx.res.status .. h.server h.server = nil ctx.res.status = 404\n"
             "if ctx.req.path == '/path' then h['x-path'] = 'yes' end end}",
             ", on_error: closed");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(x->res.status, 404);
    assert_str(x->res.headers.v[0].value, "200app");
    assert_null(lt_headers_get(&x->res.headers, LT_HEADER_SERVER));
    load_one("return {response = function(ctx) return ctx:deny(502, 'leak') end}", "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_FAIL);
    assert_int_equal(x->reply.status, 502);
    load_one("return {response = function(ctx) ctx.res.status = 204 end}", ", on_error: closed");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_FAIL);
}

#define TRACE(name)                                                                                \
    "local function note(ctx) ctx.vars.trace = (ctx.vars.trace or '') .. '" name "' end "          \
    "return {request = note, response = note, log = function(ctx) note(ctx) "                      \
    "ctx.log.info(ctx.vars.trace) end}"

static void test_filters_run_in_order_and_only_those_whose_when_holds(void **state)
{
    (void)state;
    write_file("a.lua", TRACE("a"));
    write_file("b.lua", TRACE("b"));
    load_well("a: {filter: \"@/a.lua\"}\n"
              "skipped: {filter: \"@/a.lua\", when: header.x-no == \"1\"}\n"
              "b: {filter: \"@/b.lua\", when: path == \"/path\"}\n"
              "a2: {filter: \"@/a.lua\"}\n");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    /* What holds now doesn't count any more. */
    with_header(x, "x-no", "1");
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "\"message\":\"abaabaa\""));
    assert_non_null(strstr(logged, "\"message\":\"abaabaab\""));
    assert_non_null(strstr(logged, "\"filter\":\"a2\""));
    assert_null(strstr(logged, "skipped"));
}

static void test_filters_behind_a_refusal_do_not_see_the_response(void **state)
{
    (void)state;
    write_file("a.lua", TRACE("a"));
    write_file("b.lua", "return {request = function(ctx) return ctx:deny(403, 'no') end}");
    load_well("a: {filter: \"@/a.lua\"}\nb: {filter: \"@/b.lua\"}\nc: {filter: \"@/a.lua\"}\n");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "\"message\":\"aaa\""));
    assert_null(strstr(logged, "\"filter\":\"c\""));
}

static void test_plain_vars_are_shared_tables_are_not(void **state)
{
    (void)state;
    write_file("a.lua", "return {request = function(ctx) local v = ctx.vars v.s = 'x' v.i = 7 "
                        "v.f = 1.5 v.b = true v.t = {1, 2, 3} v.gone = 1 v.gone = nil end, "
                        "response = function(ctx) ctx.res.headers['x-t'] = #ctx.vars.t "
                        "ctx.vars.t = nil end}");
    write_file("b.lua", "return {request = function(ctx) local v = ctx.vars "
                        "ctx.req.headers['x-v'] = ('%s %s %s %s %s'):format(v.s, v.i, v.f, v.b, "
                        "v.gone) local ok, e = pcall(function() return v.t end) "
                        "ctx.req.headers['x-e'] = e end}");
    load_well("a: {filter: \"@/a.lua\"}\nb: {filter: \"@/b.lua\"}\n");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-v"), "x 7 1.5 true nil");
    assert_true(lt_str_find(req_header(x, "x-e"), LT_STR("ctx.vars.t is a table of another")) !=
                SIZE_MAX);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_str(lt_headers_get_name(&x->res.headers, LT_STR("x-t"))->value, "3");
}

static struct lt_str user_field(const struct lt_exchange *x, const char *name)
{
    const struct lt_user_field *field = lt_exchange_user(x, lt_str_c(name));
    assert_non_null(field);
    return field->value;
}

static void test_lists_of_a_user_stay_lists(void **state)
{
    (void)state;
    struct lt_exchange *x =
        runs("return {request = function(ctx) ctx.user = {id = 'a', groups = {'x,y', 7, true, '', "
             "'50%'}, none = {}} local g = ctx.user.groups\n"
             "ctx.user.n = #g .. #ctx.user.none .. g[1] .. g[2] .. g[3] .. g[4]\n"
             "ctx.user.groups[1] = 'z' ctx.user.first = ctx.user.groups[1]\n"
             "ctx.user.none = 'text' end}");
    assert_str(user_field(x, "groups"), "x%2Cy,7,true,50%25");
    assert_str(user_field(x, "n"), "40x,y7true50%");
    assert_str(user_field(x, "first"), "x,y");
    assert_str(user_field(x, "none"), "text");
    assert_false(lt_exchange_user(x, LT_STR("none"))->list);
}

static void test_query_parameters_can_be_removed(void **state)
{
    (void)state;
    struct lt_exchange *x = runs("return {request = function(ctx) local q = ctx.req.query\n"
                                 "ctx.user = {had = q.a} q.none = nil q.a = nil\n"
                                 "ctx.user.has = tostring(q.a) end}");
    struct lt_str left;
    assert_true(user_field(x, "had").len > 0);
    assert_str(user_field(x, "has"), "nil");
    assert_false(lt_query_get(&x->arena, x->req.query, LT_STR("a"), &left));
    lt_test_bed_end(bed);
    load_one("return {request = function() end, response = function(ctx) ctx.user = {why = "
             "select(2, pcall(function() ctx.req.query.a = nil end))} end}",
             "");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_true(lt_str_find(user_field(x, "why"), LT_STR("in `request` only")) != SIZE_MAX);
}

static void test_user_is_seen_by_expressions_and_filters(void **state)
{
    (void)state;
    struct lt_exchange *x = runs(
        "return {request = function(ctx) ctx.user = {id = 'alice', level = 3, admin = false} "
        "ctx.user.tier = 'gold' local u = ctx.user "
        "ctx.req.headers['x-u'] = u.id .. u.level .. u.admin .. u.tier .. tostring(u.no) end}");
    struct lt_str value;
    assert_str(req_header(x, "x-u"), "alice3falsegoldnil");
    assert_true(lt_exchange_expr_get(x, LT_EXPR_USER, LT_STR("tier"), &value));
    assert_str(value, "gold");
    x = runs("return {request = function(ctx) ctx.user = {id = 'a'} ctx.user = nil end}");
    assert_null(x->user);
}

#define SLEEPER                                                                                    \
    "local function nap(ctx) local t = lintel.now() ctx:sleep('50ms') ctx:sleep(0.05) "            \
    "ctx.vars.slept = (ctx.vars.slept or 0) + math.floor((lintel.now() - t) * 1000 + 0.5) end "    \
    "return {request = nap, response = nap, log = function(ctx) nap(ctx) "                         \
    "ctx.log.info('slept', {ms = ctx.vars.slept}) end}"

static void test_every_hook_may_wait(void **state)
{
    (void)state;
    load_one(SLEEPER, ", on_error: closed");
    struct lt_exchange *x = begin();
    uint64_t before = bed->loop->now_us;
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    struct lt_filter_call *call = x->filter_state;
    assert_int_equal(call->waits->task.wake_us - before, 50000);
    bed->loop->now_us += 50000;
    bed->loop->wall_us += 50000;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_int_equal(bed->loop->now_us - before, 100000);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "\"ms\":300"));
}

static void test_waiting_inside_pcall_and_loops_works(void **state)
{
    (void)state;
    struct lt_exchange *x = runs("return {request = function(ctx) local n = 0 for i = 1, 3 do "
                                 "pcall(function() ctx:sleep(0.01) n = n + 1 error('x') end) end "
                                 "ctx.req.headers['x-n'] = n end}");
    assert_str(req_header(x, "x-n"), "3");
}

static void test_wall_budget_ends_a_wait(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) pcall(function() ctx:sleep(1) end) end}",
             ", on_error: closed, budget: {wall: 200ms}");
    struct lt_exchange *x = begin();
    uint64_t before = bed->loop->now_us;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_WALL);
    assert_int_equal(bed->loop->now_us - before, 200000);
    load_one("return {request = function(ctx) ctx:sleep(1) end}", ", budget: {wall: 200ms}");
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
}

static void test_a_call_that_is_given_up_never_goes_on(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) ctx.vars.t = {} "
             "local ok = pcall(ctx.sleep, ctx, 1) lintel.log.info('went on') end}",
             "");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed);
    assert_int_equal(bed->filters->units[0]->runners, 0);
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "went on"));
    assert_null(strstr(strstr(logged, "went on") + 1, "went on"));
}

static void test_a_ctx_that_was_kept_raises(void **state)
{
    (void)state;
    load_one(
        "local kept, req\nreturn {request = function(ctx)\n"
        "if kept then ctx.req.headers['x-e'] = select(2, pcall(function() return kept.id end)) "
        "ctx.req.headers['x-r'] = select(2, pcall(function() return req.method end)) "
        "else kept, req = ctx, ctx.req ctx:sleep(1) end end}",
        ", on_error: closed");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_true(lt_str_find(req_header(x, "x-e"), LT_STR("ctx was kept")) != SIZE_MAX);
    assert_true(lt_str_find(req_header(x, "x-r"), LT_STR("ctx was kept")) != SIZE_MAX);
}

static void test_calls_that_wait_at_once_do_not_mix(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) local id = ctx.req.headers['x-id'] ctx:sleep(0.01) "
             "ctx.req.headers['x-same'] = tostring(id == ctx.req.headers['x-id']) end}",
             "");
    struct lt_exchange *x[20];
    for (unsigned i = 0; i < lt_countof(x); i++) {
        x[i] = begin();
        char id[2] = {(char)('a' + i), '\0'};
        struct lt_str copy;
        assert_true(lt_arena_dup(&x[i]->arena, lt_str_c(id), &copy));
        with_header(x[i], "x-id", copy.p);
        assert_int_equal(lt_filter_hooks.request(x[i]), LT_STEP_WAIT);
    }
    bed->loop->now_us += 10000;
    for (unsigned i = 0; i < lt_countof(x); i++) {
        assert_int_equal(lt_filter_hooks.request(x[i]), LT_STEP_NEXT);
        assert_str(req_header(x[i], "x-same"), "true");
        bed->x = x[i];
        lt_test_bed_end(bed);
    }
    assert_int_equal(bed->filters->units[0]->runners, 20);
}

static void test_a_filter_that_never_waits_makes_no_second_runner(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) ctx.vars.n = 1 end}", "");
    for (unsigned i = 0; i < 1000; i++) {
        (void)begin();
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
        lt_test_bed_end(bed);
    }
    assert_int_equal(bed->filters->units[0]->runners, 1);
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_COROUTINES), 1);
}

static void test_policy_decides_when_a_filter_fails(void **state)
{
    (void)state;
    static const struct {
        const char *text, *settings;
        enum lt_cause cause; /* NONE: goes on */
    } cases[] = {
        {"return {request = function() error('x') end}", "", LT_CAUSE_NONE},
        {"return {group = 'auth', request = function() error('x') end}", "", LT_CAUSE_FILTER_ERROR},
        {"return {group = 'auth', request = function() error('x') end}", ", on_error: open",
         LT_CAUSE_NONE},
        {"return {on_error = 'closed', request = function() error('x') end}", "",
         LT_CAUSE_FILTER_ERROR},
        {"return {group = 'auth', request = function() while true do end end}",
         ", budget: {cpu: 5ms}", LT_CAUSE_FILTER_CPU},
        {"return {request = function() while true do pcall(error) end end}", ", budget: {cpu: 5ms}",
         LT_CAUSE_NONE},
        {"return {group = 'auth', request = function() return ('x'):rep(1e8) end}", "",
         LT_CAUSE_FILTER_MEMORY},
        {"return {group = 'auth', request = function() local t = {} "
         "while true do t[#t + 1] = {} end end}",
         ", budget: {cpu: 10s, memory: 1M}", LT_CAUSE_FILTER_MEMORY},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        load_one(cases[i].text, cases[i].settings);
        for (unsigned round = 0; round < 2; round++) {
            struct lt_exchange *x = begin();
            enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
            if (x->cause != cases[i].cause) {
                fail_msg("%s: cause %s", cases[i].text, lt_cause_info(x->cause)->name);
            }
            assert_int_equal(result, cases[i].cause == LT_CAUSE_NONE ? LT_STEP_NEXT : LT_STEP_FAIL);
            lt_test_bed_end(bed);
        }
    }
    assert_non_null(strstr(logged, "\"error\":\"a.lua:1: x\""));
    assert_non_null(strstr(logged, "\"hook\":\"request\""));
}

static void test_failures_in_log_only_go_to_the_log(void **state)
{
    (void)state;
    load_one("return {group = 'auth', log = function() error('late') end}", "");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_int_equal(x->cause, LT_CAUSE_NONE);
    assert_non_null(strstr(logged, "late"));
}

static void test_a_few_costly_requests_take_the_filter_from_nobody(void **state)
{
    (void)state;
    load_one("return {group = 'auth', request = function(ctx) "
             "while ctx.req.headers.costly do end end}",
             ", budget: {cpu: 1ms}");
    for (unsigned i = 0; i < 40; i++) {
        struct lt_exchange *x = begin();
        if (i % 4 == 3) {
            with_header(x, "costly", "1");
        }
        enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
        assert_int_equal(result, i % 4 == 3 ? LT_STEP_FAIL : LT_STEP_NEXT);
        lt_test_bed_end(bed);
    }
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_KILLS), 10);
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_QUARANTINES), 0);
}

static void test_stopped_too_often_is_quarantined_for_a_while(void **state)
{
    (void)state;
    load_one("return {group = 'auth', request = function() while true do end end}",
             ", budget: {cpu: 1ms}");
    unsigned stopped = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct lt_exchange *x = begin();
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
        stopped += x->cause == LT_CAUSE_FILTER_CPU;
        if (i == 19) {
            assert_int_equal(x->cause, LT_CAUSE_FILTER_QUARANTINED);
        }
        lt_test_bed_end(bed);
    }
    assert_int_equal(stopped, 6);
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_KILLS), 6);
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_QUARANTINES), 1);
    assert_non_null(strstr(logged, "\"event\":\"quarantined\""));
    bed->loop->now_us += 31000000;
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_CPU);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_request_can_be_read),
        TEST(test_request_headers_can_be_changed),
        TEST(test_header_injection_raises),
        TEST(test_a_request_header_that_would_not_arrive_raises),
        TEST(test_headers_can_be_written_only_where_somebody_sees_them),
        TEST(test_connection_takes_nothing_off_that_a_filter_set),
        TEST(test_a_filter_leaves_memory_for_an_answer),
        TEST(test_request_may_add_to_the_response_to_come),
        TEST(test_wrong_use_raises),
        TEST(test_deny_answers),
        TEST(test_respond_and_redirect_answer),
        TEST(test_response_can_be_edited_and_replaced),
        TEST(test_filters_run_in_order_and_only_those_whose_when_holds),
        TEST(test_filters_behind_a_refusal_do_not_see_the_response),
        TEST(test_plain_vars_are_shared_tables_are_not),
        TEST(test_lists_of_a_user_stay_lists),
        TEST(test_query_parameters_can_be_removed),
        TEST(test_user_is_seen_by_expressions_and_filters),
        TEST(test_every_hook_may_wait),
        TEST(test_waiting_inside_pcall_and_loops_works),
        TEST(test_wall_budget_ends_a_wait),
        TEST(test_a_call_that_is_given_up_never_goes_on),
        TEST(test_a_ctx_that_was_kept_raises),
        TEST(test_calls_that_wait_at_once_do_not_mix),
        TEST(test_a_filter_that_never_waits_makes_no_second_runner),
        TEST(test_policy_decides_when_a_filter_fails),
        TEST(test_failures_in_log_only_go_to_the_log),
        TEST(test_a_few_costly_requests_take_the_filter_from_nobody),
        TEST(test_stopped_too_often_is_quarantined_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
