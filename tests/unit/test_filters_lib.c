/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the table lintel. */
#include "filter_bed.h"

/* Runs statements in a request hook; a failure in them fails the test. */
static void lua(const char *statements)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "local function eq(a, b) if a ~= b then error(('is %%s, should be %%s'):format("
             "tostring(a), tostring(b)), 2) end end\n"
             "local function raises(p, f, ...) local ok, e = pcall(f, ...) "
             "if ok or not e:find(p, 1, true) then error(ok and 'did not raise' or e, 2) end end\n"
             "return {request = function(ctx)\n%s\nend}",
             statements);
    load_one(text, ", on_error: closed, budget: {cpu: 5s, wall: 1m}");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("%.*s", LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

static void test_digests(void **state)
{
    (void)state;
    lua("local c = lintel.crypto\n"
        "eq(c.sha256_hex(''), "
        "'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')\n"
        "eq(c.sha256_hex('abc'), "
        "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')\n"
        "eq(c.hex_encode(c.sha256('abc')), c.sha256_hex('abc'))\n"
        "eq(c.hmac_sha256_hex('key', 'The quick brown fox jumps over the lazy dog'), "
        "'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8')\n"
        "eq(c.hmac_sha256_hex('', ''), "
        "'b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad')\n"
        "eq(#c.hmac_sha256('k', 'x'), 32)\n"
        "eq(c.hmac_sha256_hex('k', 'x') == c.hmac_sha256_hex('l', 'x'), false)\n"
        "eq(c.constant_time_equal('abc', 'abc'), true)\n"
        "eq(c.constant_time_equal('abc', 'abd'), false)\n"
        "eq(c.constant_time_equal('abc', 'ab'), false)\n"
        "eq(c.constant_time_equal('', ''), true)\n"
        "eq(#c.random_bytes(33), 33)\n"
        "eq(c.random_bytes(16) == c.random_bytes(16), false)\n"
        "raises('1 to 1024', c.random_bytes, 0)\n");
}

static void test_text_forms(void **state)
{
    (void)state;
    lua("local c = lintel.crypto\n"
        "for text, form in pairs{[''] = '', f = 'Zg==', fo = 'Zm8=', foo = 'Zm9v', "
        "foob = 'Zm9vYg==', fooba = 'Zm9vYmE=', foobar = 'Zm9vYmFy', ['\\251\\255'] = '+/8='} do\n"
        "eq(c.base64_encode(text), form) eq(c.base64_decode(form), text)\n"
        "local url = form:gsub('=', ''):gsub('+', '-'):gsub('/', '_')\n"
        "eq(c.base64url_encode(text), url) eq(c.base64url_decode(url), text) end\n"
        "for _, bad in ipairs{'Z', 'Zg', 'Zg=', 'Zh==', 'Z===', '====', 'Zm9v Yg==', 'Zm-v', "
        "'Zg==Zg=='} do eq(c.base64_decode(bad), nil) end\n"
        "for _, bad in ipairs{'Z', 'Zg==', 'Zh', 'Zm+v', 'Zm\\0v'} do "
        "eq(c.base64url_decode(bad), nil) end\n"
        "eq(c.hex_encode('\\0\\255a'), '00ff61') eq(c.hex_decode('00FF61'), '\\0\\255a')\n"
        "eq(c.hex_decode('0'), nil) eq(c.hex_decode('0g'), nil) eq(c.hex_decode(''), '')\n");
}

static void test_sets_of_addresses(void **state)
{
    static const char made[] =
        "return {init = function() local set = lintel.cidr.set\n"
        "local function fails(p, v) local ok, e = pcall(set, v) "
        "if ok or not e:find(p, 1, true) then error(ok and 'did not raise' or e, 2) end end\n"
        "fails('row 2, \"10.0.0.1/8\": bits after', {'::1', '10.0.0.1/8'})\n"
        "fails('row 2, \"x\": not an IP', '# c\\nx # d\\n') fails('row 1 is a table', {{}})\n"
        "fails('table expected', 7) fails('more than 200000 rows', ('\\n'):rep(200001))\n"
        "return {list = set {'10.0.0.0/8', '::1'}, none = set {}, "
        "text = set '# c\\r\\n\\n 10.0.0.0/8 # d\\r\\n::1'} end,\n"
        "request = function(ctx) local s = ctx.state\n"
        "for _, set in ipairs {s.list, s.text} do\n"
        "assert(set:contains('10.9.9.9') and set:contains('::1') and "
        "set:contains('::ffff:10.0.0.1'))\n"
        "assert(not set:contains('11.0.0.0') and not set:contains('unix') and "
        "not set:contains('')) end\n"
        "assert(not s.none:contains('10.0.0.1'))\n"
        "local ok, e = pcall(s.list.contains, '10.0.0.1') assert(e:find('with a colon'), e)\n"
        "ok, e = pcall(s.list.contains, ctx, '10.0.0.1') assert(e:find('with a colon'), e)\n"
        "ok, e = pcall(lintel.cidr.set, {}) assert(e:find('in `init`', 1, true), e) end}";
    (void)state;
    load_one(made, ", on_error: closed, budget: {cpu: 5s, wall: 1m}");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("%.*s", LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

static void test_json(void **state)
{
    (void)state;
    lua("local j = lintel.json\n"
        "local v = j.decode('{\"a\": [1, 2.5, true, null, \"x\\\\u00e4\"], \"b\": {}}')\n"
        "eq(math.type(v.a[1]), 'integer') eq(v.a[2], 2.5) eq(v.a[3], true) eq(v.a[4], j.null) "
        "eq(v.a[5], 'x\\xc3\\xa4') eq(next(v.b), nil)\n"
        "eq(j.decode('7'), 7) eq(j.decode('\"s\"'), 's')\n"
        "for _, bad in ipairs{'', '{', '[1,]', '{\"a\":1,\"a\":2}', 'nul', '1 2', '\"\\xff\"', "
        "('['):rep(70) .. (']'):rep(70), ('['):rep(3000)} do\n"
        "local r, e = j.decode(bad) eq(r, nil) eq(type(e), 'string') end\n"
        "local r, e = j.decode(('x'):rep(600000)) eq(e, 'the text is too long')\n"
        "eq(j.encode{1, 2, {3}}, '[1,2,[3]]') eq(j.encode{a = 'b\"\\n'}, "
        "'{\"a\":\"b\\\\\"\\\\u000a\"}')\n"
        "eq(j.encode{}, '{}') eq(j.encode(j.empty_array), '[]') eq(j.encode(j.null), 'null')\n"
        "eq(j.encode(nil), 'null') eq(j.encode(1.5), '1.5') eq(j.encode(true), 'true')\n"
        "eq(#j.encode(('x'):rep(10000)), 10002)\n");
    lua("local j = lintel.json\n"
        "raises('this one has a number for a key', j.encode, {1, nil, 3, a = 1})\n"
        "raises('no number of JSON', j.encode, 0/0) raises('no number', j.encode, math.huge)\n"
        "raises('a function has no form', j.encode, function() end)\n"
        "local t = {} t.t = t raises('deeper than 64', j.encode, t)\n"
        "raises('larger than', j.encode, ('x'):rep(600000))\n"
        "raises(\"can't be changed\", function() j.encode = nil end)\n");
}

static void test_json_of_arrays_stays_arrays(void **state)
{
    (void)state;
    lua("local j = lintel.json\n"
        "local text = '{\"a\":[],\"b\":{},\"c\":[[],{}],\"d\":[1]}'\n"
        "local v = j.decode(text) eq(j.encode(v), text)\n"
        "eq(table.remove(v.d), 1) eq(#v.d, 0) eq(next(v.d), nil) eq(j.encode(v.d), '[]')\n"
        "table.insert(v.d, 'x') table.insert(v.d, 1, 'y') eq(v.d[2], 'x') eq(#v.d, 2)\n"
        "local n = 0 for i, one in ipairs(v.d) do n = n + i end eq(n, 3)\n"
        "for k in pairs(v.d) do n = n + k end eq(n, 6) eq(j.encode(v.d), '[\"y\",\"x\"]')\n"
        "eq(table.concat(v.d, ','), 'y,x') eq(type(v.d), 'table') eq(rawlen(v.d), 2)\n"
        "eq(tostring(v.d):match('^table: ') ~= nil, true)\n"
        "v.a.name = 7 eq(j.encode(v.a), '{\"name\":7}') v.a.name = nil eq(j.encode(v.a), '[]')\n"
        "v.d[1] = nil raises('a number for a key', j.encode, v.d)\n"
        "for _, list in ipairs{v.a, v.c, v.c[1]} do eq(getmetatable(list) or nil, nil)\n"
        "raises('protected', setmetatable, list, {}) raises('protected', setmetatable, list, nil) "
        "end\n"
        "eq(getmetatable(v), nil) setmetatable(v.b, {}) eq(j.encode(v.b), '{}')\n"
        "eq(j.encode(setmetatable({}, {})), '{}') eq(j.encode{j.empty_array, {}}, '[[],{}]')\n");
}

static void test_json_of_numbers_stays_the_same(void **state)
{
    (void)state;
    lua("local j = lintel.json\n"
        "for _, same in ipairs{'19.99', '0.1', '0.30000000000000004', '1.0', '-0.0', '100.0', '1', "
        "'9007199254740993', '9223372036854775807', '-9223372036854775808', '1e+20', "
        "'4.94065645841247e-324', "
        "'1.7976931348623157e+308', '123456.789'} do eq(j.encode(j.decode(same)), same) end\n"
        "for text, is in pairs{['9223372036854775808'] = 0x1p63, ['-9223372036854775809'] = "
        "-0x1p63, ['18446744073709551615'] = 0x1p64, [' 100000000000000000000\\n'] = 1e20} do\n"
        "local v = j.decode(text) eq(v, is) eq(math.type(v), 'float') end\n"
        "local many = "
        "[=[{\"7\\\"99999999999999999999\":[%s,9007199254740993,-1,\"\\\\\",1.0,%s]}]=]\n"
        "local n = ('9'):rep(20) eq(j.encode(j.decode(many:format(n, n))), "
        "many:format('1e+20', '1e+20'))\n"
        "for _, bad in ipairs{'1e400', ('9'):rep(400), '[' .. n .. ',]', '[' .. n, '0' .. n, "
        "'[' .. n .. ',\"\\\\', '--' .. n, n .. '-', '-'} do\n"
        "local r, e = j.decode(bad) eq(r, nil) eq(type(e), 'string') end\n");
}

static void test_json_of_texts_stays_the_same(void **state)
{
    (void)state;
    lua("local j = lintel.json\n"
        "local text = '\\0\\1\\127\\u{80}\\u{85}\\u{9f}\\u{a0}\\u{2028}\\u{10ffff}\"\\\\/'\n"
        "eq(j.decode(j.encode(text)), text)\n");
}

static void test_json_has_its_keys_sorted(void **state)
{
    (void)state;
    lua("local j = lintel.json\n"
        "eq(j.encode{b = 1, a = {z = 1, ab = 2, Z = 3, [''] = 4}, ['a\\0'] = 5, aa = 6}, "
        "'{\"a\":{\"\":4,\"Z\":3,\"ab\":2,\"z\":1},\"a\\\\u0000\":5,\"aa\":6,\"b\":1}')\n"
        "for _, n in ipairs{1, 2, 3, 15, 16, 17, 600, 5000} do local t, sorted = {}, {}\n"
        "for i = 1, n do local key = ('k%x'):format(i * 7919 % 65537) t[key] = 1 "
        "sorted[i] = '\"' .. key .. '\":1' end\n"
        "table.sort(sorted) eq(j.encode(t), '{' .. table.concat(sorted, ',') .. '}') end\n"
        "local t = {} for i = 1, 132000 do t['k' .. i] = 1 end raises('larger than', j.encode, "
        "t)\n");
}

static void test_limit(void **state)
{
    (void)state;
    lua("local gcra = lintel.limit.gcra\n"
        "local ok, left, retry, reset = gcra('k', '2/10s', 1)\n"
        "eq(ok, true) eq(left, 2) eq(retry, 0) eq(reset, 5)\n"
        "gcra('k', '2/10s', 1) gcra('k', '2/10s', 1)\n"
        "ok, left, retry, reset = gcra('k', '2/10s', 1)\n"
        "eq(ok, false) eq(left, 0) eq(retry, 5) eq(reset, 15)\n"
        "eq(gcra('other', '2/10s', 1), true)\n"
        "eq(gcra('k', '2/10s', 1, 'name'), true)\n"
        "ctx:sleep(5) eq(gcra('k', '2/10s', 1), true) eq(gcra('k', '2/10s', 1), false)\n"
        "local announce = lintel.limit.announce\n"
        "announce(ctx, 'free', '\"free\";q=20;w=60', 12, 3)\n"
        "raises('ctx expected', announce, 'free', 'p', 1, 2)\n"
        "raises('0 or more', announce, ctx, 'a', 'p', -1, 0)\n"
        "raises('0 or more', announce, ctx, 'a', 'p', 1, -1)\n"
        "raises('control byte', announce, ctx, 'a', 'p\\r\\nx: y', 1, 0)\n"
        "raises('100 letters', announce, ctx, 'a\"', 'p', 1, 0)\n"
        "raises('100 letters', announce, ctx, ('a'):rep(101), 'p', 1, 0)\n"
        "raises('a rate is written', gcra, 'k', 'often') raises('rate expected', gcra, 'k', {})\n"
        "raises('a burst is 0 or more', gcra, 'k', '1/s', -1)\n"
        "raises(\"can't be kept\", gcra, 'k', '2000000/s')\n"
        "raises(\"can't be kept\", lintel.limit.check, '1/1d', 8) lintel.limit.check('1/1d', 6)\n");
}

static void test_time_and_ids(void **state)
{
    (void)state;
    lua("local t = lintel.now() eq(t > 1.7e9, true) ctx:sleep(2) "
        "eq(math.floor(lintel.now() - t + 0.5), 2)\n"
        "local u = lintel.uuid() eq(#u, 36)\n"
        "eq(u:match('^%x+%-%x+%-4%x%x%x%-[89ab]%x%x%x%-%x+$'), u) eq(u == lintel.uuid(), false)\n");
}

static void test_log_lines_hold_what_was_given(void **state)
{
    (void)state;
    lua("ctx.log.warn('careful\\n', {n = 7, ok = true, s = 'a\"b', f = 1.5}) "
        "lintel.log.error('plain') ctx.log.info(('x'):rep(5000))");
    assert_non_null(strstr(logged, "\"level\":\"warn\",\"subsystem\":\"filter\""));
    assert_non_null(strstr(logged, "\"request_id\":\"00000000000000000000000000000001\""));
    assert_non_null(strstr(logged, "\"message\":\"careful\\u000a\""));
    assert_non_null(strstr(logged, "\"n\":7"));
    assert_non_null(strstr(logged, "\"s\":\"a\\\"b\""));
    assert_non_null(strstr(logged, "\"message\":\"plain\""));
    assert_null(strstr(logged, "\\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_digests),
        TEST(test_text_forms),
        TEST(test_json),
        TEST(test_json_of_arrays_stays_arrays),
        TEST(test_json_of_numbers_stays_the_same),
        TEST(test_json_of_texts_stays_the_same),
        TEST(test_json_has_its_keys_sorted),
        TEST(test_sets_of_addresses),
        TEST(test_limit),
        TEST(test_time_and_ids),
        TEST(test_log_lines_hold_what_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
