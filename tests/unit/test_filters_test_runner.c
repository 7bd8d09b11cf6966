/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test`: what it prints and how it exits. */
#include "filter_bed.h"
#include "filters/test_runner.h"

static char output[8192];

/* Runs the command with one argument (NULL: none), its standard output in `output`. */
static int run_command(const char *argument)
{
    char name[] = "test", path[160];
    char copy[160];
    snprintf(copy, sizeof(copy), "%s", argument != NULL ? argument : "");
    char *argv[] = {name, argument != NULL ? copy : NULL, NULL};
    snprintf(path, sizeof(path), "%s/b.lua", folder);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    FILE *f = fopen(path, "w+");
    assert_non_null(f);
    assert_true(saved >= 0 && dup2(fileno(f), STDOUT_FILENO) >= 0);
    int status = lt_cmd_test(argument != NULL ? 2 : 1, argv);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    rewind(f);
    output[fread(output, 1, sizeof(output) - 1, f)] = '\0';
    fclose(f);
    return status;
}

static int run_text(const char *text)
{
    char path[128];
    write_file("t_test.lua", text);
    snprintf(path, sizeof(path), "%s/t_test.lua", folder);
    return run_command(path);
}

static void prints(const char *text)
{
    if (strstr(output, text) == NULL) {
        fail_msg("\"%s\" is not in: %s", text, output);
    }
}

static void test_cases_pass_and_fail_with_their_place(void **state)
{
    (void)state;
    assert_int_equal(run_text("local t = require 'lintel.test'\n"
                              "t.case('good', function() t.eq({a = {1}}, {a = {1}}) end)\n"
                              "t.case('bad', function()\n"
                              "  t.eq(1, 2)\n"
                              "end)\n"),
                     1);
    prints("ok    ");
    prints("t_test.lua: good\n");
    prints("FAIL  ");
    prints("t_test.lua: bad\n      ");
    prints("t_test.lua:4: is 1, should be 2\n           4 |   t.eq(1, 2)\n");
    prints("1 passed, 1 failed (1 file, ");
    assert_int_equal(run_text("local t = require 'lintel.test'\n"
                              "t.case('good', function() t.ok(true) end)\n"),
                     0);
    prints("1 passed, 0 failed (1 file, ");
}

static void test_checks_notice_what_they_should(void **state)
{
    (void)state;
    assert_int_equal(
        run_text(
            "local t = require 'lintel.test'\n"
            "t.case('checks', function()\n"
            "for _, bad in ipairs{function() t.eq({1}, {2}) end, function() t.eq({1}, {}) end,\n"
            "  function() t.eq({}, {a = 1}) end, function() t.eq('1', 1) end,\n"
            "  function() t.ok(nil) end, function() t.match('abc', '^b') end,\n"
            "  function() t.match(nil, 'b') end, function() t.raises(function() end) end,\n"
            "  function() t.raises(function() error('a') end, 'b') end} do\n"
            "  t.raises(bad) end\n"
            "t.match('abc', '^a') t.raises(error) t.eq(nil, nil)\n"
            "t.raises(function() error('abc') end, 'b')\n"
            "t.eq(t.sha256('abc'):sub(1, 8), 'ba7816bf') end)\n"),
        0);
}

static void test_a_client_may_show_a_certificate(void **state)
{
    (void)state;
    write_file("a.lua", "return {schema = {}, request = function(ctx)\n"
                        "local tls = ctx.client.tls\n"
                        "ctx.user = {id = tls and tls.cert and tls.cert.subject or 'nobody'} end}");
    assert_int_equal(
        run_text(
            "local t = require 'lintel.test'\n"
            "t.case('certificates', function()\n"
            "local function who(request) return t.run('a', {request = request}).user.id end\n"
            "t.eq(who({}), 'nobody') t.eq(who({scheme = 'https'}), 'nobody')\n"
            "t.eq(who({scheme = 'https', client_cert = {subject = 'CN=one'}}), 'CN=one')\n"
            "t.raises(function() who({client_cert = {name = 'x'}}) end, 'client_cert') end)\n"),
        0);
}

static void test_an_exchange_runs_through_all_hooks(void **state)
{
    (void)state;
    write_file("a.lua",
               "return {schema = {n = {type = 'int'}, l = {type = 'list', of = 'string'}},\n"
               "request = function(ctx) ctx:sleep(1.5) ctx.user = {id = 'u' .. ctx.conf.n}\n"
               "ctx.req.headers['x-l'] = table.concat(ctx.conf.l, ',') end,\n"
               "response = function(ctx) ctx.res.headers['x-was'] = ctx.res.status end,\n"
               "log = function(ctx) ctx.log.info('done', {status = ctx.res.status}) end}");
    int status = run_text(
        "local t = require 'lintel.test'\n"
        "t.case('all', function()\n"
        "local r = t.run('a', {conf = {n = 7, l = {'x', 'y'}}, now = 5, request = {method = "
        "'POST',\n"
        "  path = '/a?b=c', host = 'h', scheme = 'https', client_ip = '2001:db8::1',\n"
        "  headers = {many = {'1', '2'}}}, response = {status = 404, headers = {A = 'b'}}})\n"
        "t.eq(r.status, 404) t.eq(r.headers, {a = 'b', ['x-was'] = '404'})\n"
        "t.eq(r.upstream_called, true) t.eq(r.upstream_request.method, 'POST')\n"
        "t.eq(r.upstream_request.path, '/a') t.eq(r.upstream_request.headers['x-l'], 'x,y')\n"
        "t.eq(r.user.id, 'u7') t.eq(r.slept, 1.5)\n"
        "t.eq(r.log[1].message, 'done') t.eq(r.log[1].status, 404) t.eq(r.error, nil) end)\n"
        "t.case('refusals', function()\n"
        "t.raises(function() t.run('nothere', {}) end, \"can't be loaded\")\n"
        "t.raises(function() t.run('a', {reqest = {}}) end, 'did you mean `request`')\n"
        "t.raises(function() t.run('a', {conf = {n = 1}, request = {metod = 'GET'}}) end, "
        "'did you mean `method`')\n"
        "t.raises(function() t.run('a', {conf = {n = 1}, response = {staus = 1}}) end, "
        "'did you mean `status`')\n"
        "t.raises(function() t.run('a', {now = -1}) end, 'time goes forward')\n"
        "t.raises(function() t.advance(1e300) end, 'time goes forward')\n"
        "t.raises(function() t.run('a', {conf = {n = 'x'}}) end, 'is not a whole number')\n"
        "t.raises(function() t.run('a', {conf = {n = 1, l = {'x'}}, request = {client_ip = 'x'}}) "
        "end,\n"
        "  'malformed') end)\n");
    if (status != 0) {
        fail_msg("%s", output);
    }
}

static const char asks[] =
    "return {schema = {n = {type = 'int', default = 1}}, request = function(ctx)\n"
    "local told = {}\n"
    "for i = 1, ctx.conf.n do\n"
    "  local res, reason, detail = lintel.http.request{url = 'http://x.test:81/a?' .. i,\n"
    "    method = 'PUT', json = {i}, headers = {['X-A'] = {'1', 2}}}\n"
    "  told[i] = res and res.status .. res.body .. tostring(res.headers['X-One']) or reason\n"
    "  if res then\n"
    "    local all = {} for n, v in pairs(res.headers) do all[#all + 1] = n .. '=' .. v end\n"
    "    told[i] = told[i] .. table.concat(all, ',') .. #res.headers:all('X-ONE')\n"
    "    local value, why, text = res:json()\n"
    "    told[i] = told[i] .. (value and #value or why .. type(text))\n"
    "    if pcall(function() res.headers.x = 1 end) or getmetatable(res) then told[i] = 'bad' end\n"
    "  end\n"
    "end\n"
    "return ctx:respond{json = told} end}";

static void test_services_are_played(void **state)
{
    (void)state;
    write_file("a.lua", asks);
    int status = run_text(
        "local t = require 'lintel.test'\n"
        "local function told(n)\n"
        "  local r = t.run('a', {conf = {n = n}})\n"
        "  return lintel.json.decode(r.body), r.http end\n"
        "t.case('answers', function()\n"
        "t.http('PUT http://x.test:81/*', {status = 404, body = 'no'})\n"
        "t.http('PUT http://x.test:81/a?2', {headers = {['X-One'] = {'a', 'b'}}, json = {1, 2}})\n"
        "t.http('PUT http://x.test:81/a?3', function(r) return {body = r.body,\n"
        "  headers = {['x-one'] = r.headers['x-a'] .. r.method .. r.headers.host}} end)\n"
        "t.http('PUT http://x.test:81/a?4', {error = 'timeout'})\n"
        "local got, asked = told(4)\n"
        "t.eq(got, {'404nonil0malformed_jsonstring', '200[1,2]ax-one=a,x-one=b22',\n"
        "  '200[3]1PUTx.test:81x-one=1PUTx.test:8111', 'timeout'})\n"
        "t.eq(#asked, 4) t.eq(asked[2].url, 'http://x.test:81/a?2') t.eq(asked[2].body, '[2]')\n"
        "end)\n"
        "t.case('mistakes', function()\n"
        "t.raises(function() told(1) end, 'write t.http%(\"PUT http://x.test:81/a%?1\"')\n"
        "for wrong, why in pairs{[{staus = 1}] = 'did you mean', [{status = 1}] = '200 to 599',\n"
        "  [{error = 'bad'}] = 'no reason', [function() error('oops') end] = 'oops',\n"
        "  [function() return 1 end] = 'table expected', [function() end] = 'write t.http'} do\n"
        "  t.http('PUT http://x.test:81/a?1', wrong)\n"
        "  t.raises(function() told(1) end, why) end\n"
        "t.raises(function() t.http('GET http://x/') end, 'write {status')\n"
        "t.http('PUT http://x.test:81/a?1', {body = ('x'):rep(2^20 + 1)})\n"
        "t.eq(told(1), {'too_large'})\n"
        "end)\n"
        "t.case('each case has its own', function() t.raises(function() told(1) end) end)\n");
    if (status != 0) {
        fail_msg("%s", output);
    }
}

static void test_periodic_work_runs_once(void **state)
{
    (void)state;
    write_file("a.lua", "return {schema = {n = {type = 'int', default = 1}}, "
                        "init = function(conf) return conf end, every = {['30s'] = function(conf) "
                        "lintel.sleep(2) lintel.log.info('ran', {n = conf.n}) "
                        "if conf.n == 2 then error('late') end "
                        "if conf.n == 3 then lintel.http.get('http://x.test/') end end}}");
    int status = run_text(
        "local t = require 'lintel.test'\n"
        "t.case('every', function()\n"
        "local r = t.every('a', '30s')\n"
        "t.eq(r.slept, 2.0) t.eq(r.error, nil) t.eq(r.log[1].n, 1)\n"
        "r = t.every('a', '30s', {conf = {n = 2}, now = 7})\n"
        "t.eq(r.cause, 'filter_error') t.match(r.error, 'a.lua:1: late')\n"
        "t.eq(r.log[2].hook, 'every 30s')\n"
        "t.http('GET http://x.test/', {status = 204})\n"
        "t.eq(t.every('a', '30s', {conf = {n = 3}}).http[1].url, 'http://x.test/')\n"
        "t.raises(function() t.every('a', '1m') end, 'no function in `every` for \"1m\"')\n"
        "t.raises(function() t.every('a', '30s', {cnf = {}}) end, 'did you mean `conf`')\n"
        "end)\n");
    if (status != 0) {
        fail_msg("%s", output);
    }
}

static void test_broken_files_fail(void **state)
{
    (void)state;
    assert_int_equal(run_text("local x = = 1"), 1);
    prints("unexpected symbol");
    assert_int_equal(run_text("local t = require 'lintel.test'"), 1);
    prints("there is no t.case in it");
    assert_int_equal(run_text("error('outside')"), 1);
    prints("t_test.lua:1: outside");
    assert_int_equal(run_command("/nowhere/x_test.lua"), 1);
    prints("can't read /nowhere/x_test.lua: No such file");
    prints("0 passed, 1 failed (1 file, ");
}

static void test_folders_and_usage(void **state)
{
    (void)state;
    write_file("t_test.lua", "local t = require 'lintel.test' t.case('in folder', function() end)");
    assert_int_equal(run_command(folder), 0);
    prints("t_test.lua: in folder\n");
    prints("1 passed, 0 failed (1 file, ");
    int saved = dup(STDERR_FILENO);
    assert_non_null(freopen("/dev/null", "w", stderr));
    assert_int_equal(run_command(NULL), 2);
    assert_int_equal(run_command("--nonsense"), 2);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    assert_int_equal(run_command("--help"), 0);
    prints("usage: lintel test");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cases_pass_and_fail_with_their_place),
        TEST(test_checks_notice_what_they_should),
        TEST(test_a_client_may_show_a_certificate),
        TEST(test_an_exchange_runs_through_all_hooks),
        TEST(test_services_are_played),
        TEST(test_periodic_work_runs_once),
        TEST(test_broken_files_fail),
        TEST(test_folders_and_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
