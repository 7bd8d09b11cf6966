/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.jwt and the hashes of lintel.crypto as filters see them. */
#include "filter_bed.h"

#include <semaphore.h>

#include "net/work_pool.h"

/* Statements in `init`, whose local `keys` the request hook has, and statements in that. */
static void lua(const char *init, const char *request)
{
    char text[6000];
    snprintf(text, sizeof(text),
             "local jwt, crypto, keys = lintel.jwt, lintel.crypto\n"
             "local function eq(a, b) if a ~= b then error(('is %%s, should be %%s'):format("
             "tostring(a), tostring(b)), 2) end end\n"
             "local function raises(p, f, ...) local ok, e = pcall(f, ...) "
             "if ok or not e:find(p, 1, true) then error(ok and 'did not raise' or e, 2) end end\n"
             "local function sign(header, payload, secret) local b = crypto.base64url_encode\n"
             "local text = b(header) .. '.' .. b(payload)\n"
             "return text .. '.' .. b(crypto.sign('sha256', secret or ('s'):rep(32), text)) end\n"
             "local HS, FAR = '{\"alg\":\"HS256\"}', '\"exp\":4000000000'\n"
             "return {init = function()\n%s\nend, request = function(ctx)\n%s\nend}",
             init, request);
    load_one(text, ", on_error: closed, budget: {cpu: 5s, wall: 1m}");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("%.*s", LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

#define KEYS "keys = jwt.keys{secret = ('s'):rep(32)}"

static void verify_gives_claims_or_a_reason(void **state)
{
    (void)state;
    lua(KEYS,
        "local c = jwt.verify(sign(HS, '{\"sub\":\"alice\",\"n\":{\"a\":[1,2.5,true,null]},' .. "
        "FAR "
        ".. '}'), keys)\n"
        "eq(c.sub, 'alice') eq(c.exp, 4000000000) eq(c.n.a[2], 2.5) eq(c.n.a[4], "
        "lintel.json.null)\n"
        "local r, why = jwt.verify(sign(HS, '{}'), keys) eq(r, nil) eq(why, 'missing_claim')\n"
        "r, why = jwt.verify('x', keys, {}) eq(r, nil) eq(why, 'malformed_token')\n"
        "r, why = jwt.verify(sign(HS, '{' .. FAR .. '}', ('t'):rep(32)), keys) "
        "eq(why, 'bad_signature')\n"
        "eq(table.concat(keys:algs(), ' '), 'HS256')\n"
        "local now = math.floor(lintel.now())\n" /* the bed's clock, not the system's */
        "eq(jwt.verify(sign(HS, ('{\"exp\":%d}'):format(now + 1)), keys).exp, now + 1)\n"
        "ctx:sleep(2) r, why = jwt.verify(sign(HS, ('{\"exp\":%d}'):format(now + 1)), keys) "
        "eq(why, 'expired')\n");
}

static void every_option_is_a_rule(void **state)
{
    (void)state;
    lua(KEYS,
        "local function why(claims, options, header)\n"
        "local r, w = jwt.verify(sign(header or HS, '{' .. FAR .. claims .. '}'), keys, options)\n"
        "return r and 'ok' or w end\n"
        "eq(why('', {algs = {'HS256', 'RS256'}}), 'ok') eq(why('', {algs = 'ES256'}), "
        "'wrong_algorithm')\n"
        "eq(why(',\"iss\":\"a\"', {issuer = 'a'}), 'ok') eq(why(',\"iss\":\"a\"', {issuer = {'b', "
        "'c'}}), 'wrong_issuer')\n"
        "eq(why(',\"aud\":\"a\"', {audience = {'b', 'a'}}), 'ok') eq(why(',\"aud\":\"a\"', {}), "
        "'wrong_audience')\n"
        "eq(why(',\"aud\":\"a\"', {audience = '*'}), 'ok') eq(why('', {audience = '*'}), 'ok')\n"
        "eq(why(',\"scope\":\"a b\"', {scope = {'b', 'a'}}), 'ok') eq(why(',\"scope\":\"a b\"', "
        "{scope = 'c'}), 'insufficient_scope')\n"
        "eq(why(',\"x\":1', {required = {'x'}}), 'ok') eq(why('', {required = 'x'}), "
        "'missing_claim')\n"
        "eq(why(',\"x\":1', {claims = {x = 1, exp = {4000000000, 7}}}), 'ok')\n"
        "eq(why(',\"x\":true', {claims = {x = {'a', true}}}), 'ok')\n"
        "eq(why(',\"x\":\"b\",\"y\":\"a\"', {claims = {x = 'a', y = 'a'}}), 'wrong_claim')\n"
        "eq(why(',\"x\":[\"a\",\"b\"]', {claims = {x = {all = {'a', 'b'}}}}), 'ok')\n"
        "eq(why(',\"x\":[\"a\"]', {claims = {x = {all = {'a', 'b'}}}}), 'wrong_claim')\n"
        "eq(why(',\"x\":{\"y\":\"a\"}', {claims = {['x.y'] = {all = 'a'}}}), 'ok')\n"
        "eq(why(',\"scope\":\"b\"', {scope_any = {'a', 'b'}}), 'ok')\n"
        "eq(why(',\"scope\":\"c\"', {scope_any = {'a', 'b'}}), 'insufficient_scope')\n"
        "eq(why('', {typ = 'at+jwt'}), 'wrong_type')\n"
        "eq(why('', {typ = 'jwt'}, '{\"alg\":\"HS256\",\"typ\":\"JWT\"}'), 'ok')\n"
        "eq(why('', {max = 20}), 'token_too_large')\n"
        "eq(why(',\"nbf\":' .. math.floor(lintel.now()) + 20, {leeway = 30}), 'ok')\n"
        "local t = sign(HS, '{}') eq(jwt.verify(t, keys, {require_exp = false}) ~= nil, true)\n");
}

static void what_is_written_wrong_raises(void **state)
{
    (void)state;
    lua(KEYS,
        "local t = sign(HS, '{}') local function bad(p, o) raises(p, jwt.verify, t, keys, o) end\n"
        "bad('did you mean `audience`', {audiance = 'x'}) bad('table expected', 'x')\n"
        "bad('is none of HS256', {algs = {'none'}}) bad('is none of HS256', {algs = 'hs256'})\n"
        "bad('empty or a long list', {issuer = {}}) bad('holds a table', {issuer = {{}}})\n"
        "bad('holds a nil', {claims = {x = {1, nil, 3}}}) bad('holds a number', {issuer = 1.5})\n"
        "bad('`typ` is one text', {typ = {'a', 'b'}}) bad('is a number from 0', {leeway = -1})\n"
        "bad('is a number from 0', {leeway = 0/0}) bad('is a number from 0', {leeway = 'x'})\n"
        "bad('is a number from 0', {max = 1000000}) bad('is no string', {claims = {'x'}})\n"
        "local many = {} for i = 1, 40 do many[i] = 'x' end\n"
        "bad('more than 64 texts', {issuer = many, audience = many})\n"
        "local rules = {} for i = 1, 17 do rules['c' .. i] = 'x' end\n"
        "bad('more than 16 rules', {claims = rules})\n"
        /* Fields behind a metatable would be passed over. */
        "bad('fields of its own', setmetatable({}, {__index = {issuer = 'x'}}))\n"
        "bad('fields of its own', {claims = setmetatable({}, {__index = {x = 'y'}})})\n"
        "bad('fields of its own', ctx.conf)\n"
        "raises('lintel.jwt.keys expected', jwt.verify, t, {}) raises('string', jwt.verify, nil, "
        "keys)\n"
        "raises('in `init`', jwt.keys, {secret = ('s'):rep(32)})\n"
        "eq(getmetatable(keys), false) raises('index', function() keys.x = 1 end)\n");
}

static void keys_are_made_in_init(void **state)
{
    (void)state;
    lua("raises('there is no key', jwt.keys, {}) raises('did you mean `pem`', jwt.keys, {pen = "
        "'x'})\n"
        "raises('secret: a secret has at least 32', jwt.keys, {secret = 'short'})\n"
        "raises('secret: this is a key in PEM', jwt.keys, {secret = '-----BEGIN PUBLIC "
        "KEY-----'})\n"
        "raises('pem: holds nothing', jwt.keys, {pem = {'x'}})\n"
        "raises('jwks: no JSON', jwt.keys, {jwks = 'x'})\n"
        "raises('is a text or a list', jwt.keys, {jwks = 7}) raises('is a text', jwt.keys, {pem = "
        "{7}})\n"
        "raises('fields of its own', jwt.keys, setmetatable({}, {__index = {secret = 'x'}}))\n"
        "keys = jwt.keys{secret = {('s'):rep(64), ('t'):rep(32)}}\n"
        "eq(table.concat(keys:algs(), ' '), 'HS256 HS384 HS512')\n",
        "local n, why, what = keys:replace('x') eq(n, nil) eq(why, 'bad_keys') "
        "eq(what:find('no JSON'), 1)\n"
        "eq(keys:replace('{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
        "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}'), 3)\n"
        "eq(keys:algs()[4], 'EdDSA')\n");
}

static void signatures(void **state)
{
    (void)state;
    /* RFC 2202 §3, RFC 4231 §4.3. */
    lua("local c = crypto local k, t = 'Jefe', 'what do ya want for nothing?'\n"
        "eq(c.hex_encode(c.sign('sha1', k, t)), 'effcdf6ae5eb2fa2d27416d5f184df9c259a7c79')\n"
        "eq(c.hex_encode(c.sign('sha256', k, t)), "
        "'5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843')\n"
        "eq(c.hex_encode(c.sign('sha384', k, t)), 'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47"
        "e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649')\n"
        "eq(c.hex_encode(c.sign('sha512', k, t)), '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd6"
        "10270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737')\n"
        "for _, h in ipairs{'sha1', 'sha256', 'sha384', 'sha512'} do local s = c.sign(h, k, t)\n"
        "eq(c.verify(h, k, t, s), true) eq(c.verify(h, k, t .. 'x', s), false) "
        "eq(c.verify(h, k, t, s:sub(2)), false) eq(c.verify(h, '', t, s), false)\n"
        "eq(c.verify(h, k, t, ''), false) end\n"
        "eq(c.sign('sha256', '', '') == c.hmac_sha256('', ''), true)\n"
        "eq(c.hex_encode(c.digest('sha1', 'abc')), 'a9993e364706816aba3e25717850c26c9cd0d89d')\n"
        "eq(c.digest('sha256', 'abc'), c.sha256('abc')) eq(#c.digest('sha512', ''), 64)\n"
        "raises('\"sha1\", \"sha256\"', c.digest, 'md5', '') raises('\"sha1\"', c.sign, 'SHA1', "
        "'', "
        "'')\n"
        "raises('string expected', c.verify, 'sha1', 'k', 't')\n",
        "");
}

/* ---- passwords ---- */

static void passwords_are_verified(void **state)
{
    (void)state;
    lua("raises('while it is loaded', crypto.crypt_verify, 'x', '$apr1$x$Q8Yg2OX7am4dxB9rOJysZ0')\n"
        "eq(crypto.crypt_check('$apr1$x$Q8Yg2OX7am4dxB9rOJysZ0'), true)\n"
        "local r, why, what = crypto.crypt_check('{SHA}x') eq(r, nil) eq(why, 'unsupported_hash') "
        "eq(what:find('htpasswd') ~= nil, true)\n",
        "local v, h = crypto.crypt_verify, '$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/'\n"
        "local before = lintel.now()\n"
        "eq(v('password', h), true) eq(v('Password', h), false) eq(v('', h), false)\n"
        "eq(v(('x'):rep(300), h), false)\n"
        "local r, why, what = v('x', 'plain') eq(r, nil) eq(why, 'unsupported_hash') "
        "eq(type(what), 'string')\n"
        "eq(lintel.now(), before)\n" /* the clock of a test stands still meanwhile */
        "eq(pcall(v, 'password', h), true)\n"
        "raises(\"can't wait here\", table.sort, {1, 2}, function() v('x', h) end)\n");
}

/* One exchange that waits for a password on a pool; gives how the hook ended. */
static struct lt_work_pool *pool;
static struct lt_mailbox *box;

static void load_with_pool(unsigned queue_max)
{
    load_one(
        "return {request = function(ctx) local ok, why = lintel.crypto.crypt_verify('password',"
        "'$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/') ctx.req.headers['x-ok'] = tostring(ok) .. "
        "tostring(why) end}",
        ", on_error: closed, budget: {wall: 1m}");
    box = lt_mailbox_new(bed->loop, NULL);
    pool = lt_work_pool_new(1, queue_max);
    assert_non_null(box);
    assert_non_null(pool);
    bed->filters->spec.box = box;
    bed->filters->spec.pool = pool;
}

static void free_pool(void)
{
    bed->filters->spec.pool = NULL;
    lt_work_pool_free(pool);
    lt_mailbox_free(box); /* delivers what came back */
}

static void a_thread_of_the_pool_does_it(void **state)
{
    (void)state;
    load_with_pool(10);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_work_pool_free(pool); /* waits for the thread; what was queued comes back undone */
    pool = NULL;
    bed->filters->spec.pool = NULL;
    lt_mailbox_free(box);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    struct lt_str ok = req_header(x, "x-ok");
    assert_true(lt_str_eq_c(ok, "truenil") || lt_str_eq_c(ok, "nilbusy"));
    lt_test_bed_end(bed);
}

static void a_full_queue_is_told_at_once(void **state)
{
    (void)state;
    load_with_pool(0);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-ok"), "nilbusy");
    lt_test_bed_end(bed);
    free_pool();
}

/* Holds the pool's only thread until it is posted. */
struct hold {
    struct lt_work work;
    sem_t until;
};

static void hold_thread(struct lt_work *work)
{
    sem_wait(&lt_container_of(work, struct hold, work)->until);
}

static void on_hold_back(struct lt_message *message, void *owner)
{
    (void)message, (void)owner;
}

/* The thread is busy until the filter's time is nearly up: it hears that, and is not stopped. What
 * was lent comes back later, to nobody. */
static void who_is_not_served_in_time_hears_of_it(void **state)
{
    (void)state;
    struct hold hold = {.work = {.run = hold_thread, .message = {.fn = on_hold_back}}};
    load_with_pool(10);
    hold.work.box = box;
    sem_init(&hold.until, 0, 0);
    assert_true(lt_work_pool_put(pool, &hold.work));
    struct lt_exchange *x = begin();
    uint64_t began_us = bed->loop->now_us;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-ok"), "nilbusy");
    assert_in_range(bed->loop->now_us - began_us, 50000000, 59000000); /* of a minute */
    lt_test_bed_end(bed);
    assert_string_equal(logged, "");
    sem_post(&hold.until);
    free_pool();
    sem_destroy(&hold.until);
}

/* The exchange goes while its password is hashed: nothing is left of it. */
static void who_goes_leaves_nothing_behind(void **state)
{
    (void)state;
    load_with_pool(100);
    for (unsigned i = 0; i < 20; i++) {
        (void)begin();
        assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
        lt_test_bed_end(bed);
    }
    free_pool();
}

static void stop_loop(void *arg)
{
    lt_loop_stop(arg);
}

/* A turn of the loop, at whose end the hash is made; the bed's clock stands still. */
static void turn(void)
{
    struct lt_loop *loop = bed->loop;
    uint64_t now = loop->now_us, wall = loop->wall_us;
    struct lt_deferred stop = {.fn = NULL};
    lt_loop_defer(loop, &stop, stop_loop, loop);
    lt_loop_run(loop);
    loop->now_us = now;
    loop->wall_us = wall;
}

/* Whether basic_auth waits for a hash; the answer has to be `wanted`. */
static bool hashes(const char *authorization, enum lt_step_result wanted)
{
    with_header(begin(), "Authorization", authorization);
    enum lt_step_result result = lt_test_bed_step(bed, LT_FILTER_REQUEST);
    bool waited = result == LT_STEP_WAIT;
    if (waited) {
        turn();
        result = lt_test_bed_step(bed, LT_FILTER_REQUEST);
    }
    assert_int_equal(result, wanted);
    lt_test_bed_end(bed);
    return waited;
}

/* alice:password, alice:wrong and eve:password. */
#define RIGHT "Basic YWxpY2U6cGFzc3dvcmQ="
#define WRONG "Basic YWxpY2U6d3Jvbmc="
#define UNKNOWN "Basic ZXZlOnBhc3N3b3Jk"

static void load_basic_auth(const char *settings)
{
    char yaml[5000], *top = realpath(getenv("srcdir") != NULL ? getenv("srcdir") : ".", NULL);
    assert_non_null(top);
    snprintf(yaml, sizeof(yaml),
             "a: {filter: \"%s/scripts/basic_auth.lua\", users: {alice: "
             "\"$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/\"}%s}\n",
             top, settings);
    free(top);
    load_well(yaml);
}

static void a_verified_password_is_remembered_for_a_while(void **state)
{
    (void)state;
    load_basic_auth("");
    assert_true(hashes(RIGHT, LT_STEP_NEXT));
    assert_false(hashes(RIGHT, LT_STEP_NEXT));
    for (unsigned i = 0; i < 2; i++) { /* refusals are not, and cost the same for all */
        assert_true(hashes(WRONG, LT_STEP_FAIL));
        assert_true(hashes(UNKNOWN, LT_STEP_FAIL));
    }
    assert_false(hashes(RIGHT, LT_STEP_NEXT));
    bed->loop->wall_us += 59 * 1000000;
    assert_false(hashes(RIGHT, LT_STEP_NEXT));
    bed->loop->wall_us += 1 * 1000000;
    assert_true(hashes(RIGHT, LT_STEP_NEXT));
    load_basic_auth(", remember: 0s");
    assert_true(hashes(RIGHT, LT_STEP_NEXT));
    assert_true(hashes(RIGHT, LT_STEP_NEXT));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(verify_gives_claims_or_a_reason),
        TEST(every_option_is_a_rule),
        TEST(what_is_written_wrong_raises),
        TEST(keys_are_made_in_init),
        TEST(signatures),
        TEST(passwords_are_verified),
        TEST(a_thread_of_the_pool_does_it),
        TEST(a_full_queue_is_told_at_once),
        TEST(who_is_not_served_in_time_hears_of_it),
        TEST(who_goes_leaves_nothing_behind),
        TEST(a_verified_password_is_remembered_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
