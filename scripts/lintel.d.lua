---@meta
-- SPDX-License-Identifier: Apache-2.0
-- What filters of Lintel see, for lua-language-server: put this file into `workspace.library`. It is
-- no filter and nothing runs it. Made by `lintel show api --lua`; do not edit.

---The table that a filter's file returns. At least one hook or `every`, and nothing else than these fields. In an editor, `---@type lintel.Filter` before `local M = {}` makes them known.
---@class lintel.Filter
---@field init? fun(conf: table): any Once per instance and worker while a configuration is loaded; what it returns is `ctx.state`. Raising refuses the configuration. It can't wait.
---@field request? fun(ctx: lintel.Ctx): lintel.Answer? Before a server is chosen.
---@field upstream? fun(ctx: lintel.Ctx): lintel.Answer? The request is ready to leave, and a server is about to be chosen.
---@field response? fun(ctx: lintel.Ctx): lintel.Answer? The head of the response is there, also of answers by Lintel and by filters.
---@field body? fun(ctx: lintel.Ctx, chunks: fun(): string?)|{request?: fun(ctx: lintel.Ctx, chunks: fun(): string?), response?: fun(ctx: lintel.Ctx, chunks: fun(): string?)} Changes a body as it passes: the response's, or with a table either.
---@field log? fun(ctx: lintel.Ctx) The client was answered.
---@field every? table<string, fun(state: any)> Periodic work, on one worker: period, as in `"30s"`, to function.
---@field schema? table<string, table> The settings.
---@field group? "auth"|"limit"|"transform"|"observe" Decides `on_error` where nobody does.
---@field on_error? "closed"|"open" What happens to a request when a hook fails.
---@field name? string For people.

---One request and its response, as hooks see them. It is valid during its own call: a filter that keeps it gets an error when it uses it.
---@class lintel.Ctx
---@field req lintel.Request
---@field res lintel.Response In `response` and `log`.
---@field client lintel.Client
---@field route lintel.Route
---@field upstream lintel.Upstream
---@field user table<string, string|string[]>? Who it is. `ctx.user = {id = "alice", groups = {"ops"}}` sets it, `ctx.user.plan = "paid"` adds to it. A field is a text, or a list of texts. Expressions see `user.id` and `'ops' in user.groups`; `id`, `groups` and `scopes` mean what they say to all filters.
---@field vars table<string, any> What filters leave for later hooks and for each other during one exchange. Strings, numbers and booleans are seen by all filters, tables and functions by those of the same file.
---@field fields table<string, any> Members of the access line: `ctx.fields.plan = "gold"`. Text, numbers and booleans, or a setting of the type `expr`, whose value is taken when the line is written and hides what `log.redact` names. nil takes one out. At most 32; they can't be read.
---@field conf table<string, any> The settings.
---@field state any What `init` returned.
---@field name string Of the instance.
---@field priority "high"|"normal"|"low" May be set in `request`: who is served first while requests wait for a server.
---@field id string Of the request, in logs, for servers and in answers of Lintel's own. May be set in `request`: 1 to 128 visible characters.
---@field trace_id string The W3C trace id, 32 digits.
---@field cause string Why it ended as it did, so far: `"ok"`.
---@field elapsed number Seconds since the exchange began.
---@field log lintel.Log Lines carry the id of the request.
local Ctx = {}
---A refusal, to be returned: `return ctx:deny(403, "no_ticket")`. The status is 400 to 599; the reason is a stable id of small letters, digits and `_` for clients and the access log.
---@param status integer
---@param reason string
---@param headers? table<string, string|number>
---@return lintel.Answer
function Ctx:deny(status, reason, headers) end
---Any answer, to be returned; 200 without a status, at most 512 KB.
---@param answer {status?: integer, headers?: table<string, string|number>, body?: string, json?: any}
---@return lintel.Answer
function Ctx:respond(answer) end
---A redirect, to be returned; 302 without a status.
---@param url string
---@param status? 301|302|303|307|308
---@return lintel.Answer
function Ctx:redirect(url, status) end
---Waits so many seconds, or a time as in `"50ms"`, at most an hour. Other requests go on.
---@param duration number|string
function Ctx:sleep(duration) end
---Runs up to 16 functions beside each other, each of which may wait, and gives the first result of each in their order. An error in one is raised, after the others were given up.
---@param functions (fun(): any)[]
---@return any ...
function Ctx:parallel(functions) end
---Runs `fn` when this call of the hook is over, however it ends; the last one first, at most 8. It can't wait.
---@param fn fun()
function Ctx:defer(fn) end
---In `body`: gives a piece of the body, and waits while the other side is slow.
---@param text string
function Ctx:emit(text) end

---The request.
---@class lintel.Request
---@field method string
---@field path string Normalised, without the query.
---@field target string Path and query as the client sent them.
---@field host string In small letters, without the port.
---@field scheme "http"|"https"
---@field http_version "1.0"|"1.1"|"2"
---@field headers lintel.Headers May be changed in `request` and `upstream`.
---@field query table<string, string?> Decoded; the first of a name. Setting one to nil in `request` takes it off what the server gets, with all of its name.
local Request = {}
---The token of `Authorization: Bearer TOKEN`.
---@return string?
function Request:bearer() end
---The value of a cookie.
---@param name string
---@return string?
function Request:cookie(name) end
---In `request`. The whole body as text, as it was sent; it waits until that is there. `max` is `"64K"` without it and at most `"16M"`. Else nil and `too_large`, `stream`, `no_memory` or `unreadable`.
---@param options? {max?: integer|string}
---@return string? text
---@return string? reason
function Request:body(options) end
---In `request`. The value that the body holds, of at most 512 KB; else nil and a reason as of `body`, or `encoded`, or `malformed` with what is wrong.
---@param options? {max?: integer|string}
---@return any value
---@return string? reason
---@return string? detail
function Request:json(options) end
---In `request`. Puts another body in its place. `Content-Length` is made right, `Content-Encoding` and digests go.
---@param text string
function Request:set_body(text) end

---The response, in `response` and `log`.
---@class lintel.Response
---@field status integer May be set in `response`.
---@field headers lintel.Headers May be changed in `response`. `ctx.res.headers:add` works in `request` and `upstream` too: the field joins whatever response there will be.
local Response = {}
---In `response`. The whole body as text, as it was sent; it waits until that is there. `max` is `"64K"` without it and at most `"16M"`. Else nil and `too_large`, `stream`, `no_memory` or `unreadable`.
---@param options? {max?: integer|string}
---@return string? text
---@return string? reason
function Response:body(options) end
---In `response`. The value that the body holds, of at most 512 KB; else nil and a reason as of `body`, or `encoded`, or `malformed` with what is wrong.
---@param options? {max?: integer|string}
---@return any value
---@return string? reason
---@return string? detail
function Response:json(options) end
---In `response`. Puts another body in its place. `Content-Length` is made right, `Content-Encoding` and digests go.
---@param text string
function Response:set_body(text) end

---Header fields: `ctx.req.headers`, `ctx.res.headers`, and those of a response of `lintel.http`, which can't be changed.
---@class lintel.Headers
---@field [string] string|number|nil Keys ignore case. Reading gives the first field of a name, writing replaces all of them, nil removes them; `pairs` gives all fields with names in small letters.
local Headers = {}
---Adds a field beside those of the same name.
---@param name string
---@param value string|number
function Headers:add(name, value) end
---All values of a name.
---@param name string
---@return string[]
function Headers:all(name) end

---The client.
---@class lintel.Client
---@field ip string Behind trusted proxies the one that they name.
---@field port integer
---@field peer_ip string Who connected; behind a PROXY header whom that names.
---@field trusted boolean Whether the peer is one of `trust`.
---@field tls lintel.Tls?

---TLS with the client.
---@class lintel.Tls
---@field version string As in `"TLSv1.3"`.
---@field sni string? The name that the client asked for.
---@field cert lintel.Cert? The certificate that the client has shown, if it is valid.

---A verified certificate of a client.
---@class lintel.Cert
---@field subject string? As in RFC 4514: `CN=one,O=Two`.
---@field issuer string? Subject of the authority that issued it.
---@field serial string? In hexadecimal.
---@field not_after integer When it ends, in seconds since 1970.
---@field san string? Alternative names, as in `DNS:a.test,URI:spiffe://x`.
---@field dns string[] Those that are names of hosts; `,`, `%` and spaces as %XX.
---@field uri string[]
---@field email string[]
---@field ip string[]
---@field fingerprint string? SHA-256 in hexadecimal.

---Where the request goes.
---@class lintel.Route
---@field name string
---@field site string

---Who answers.
---@class lintel.Upstream
---@field name string?
---@field server string? Once one was chosen.
---@field status integer? What the server answered.
---@field pool string Can be set in `upstream`, not read: another upstream of the configuration. The route's own options stay; a sticky split forgets its draw.
---@field hash_key string Can be set in `upstream`, not read, in place of the expression of `balance: hash`.
---@field timeout number|string Can be set in `upstream`, not read: the exchange ends so long from now. It only shortens what is configured.

---What a hook returns to end the request: from `ctx:deny`, `ctx:respond` or `ctx:redirect`. One that was made and not returned is an error, since a forgotten `return` would let everybody in.
---@class lintel.Answer

---What filters may use. Functions that can fail in the world give nil, a stable reason and sometimes a text for people; those that are used wrongly raise.
---@class lintel
---@field log lintel.Log As `ctx.log`, without a request.
---@field http lintel.http
---@field json lintel.json
---@field cache lintel.cache
---@field shared lintel.shared
---@field limit lintel.limit
---@field jwt lintel.jwt
---@field crypto lintel.crypto
---@field re lintel.re
---@field header lintel.header
---@field fields lintel.fields
---@field file lintel.file
---@field redis lintel.redis
---@field cidr lintel.cidr
lintel = {}
---Seconds since 1970, with fractions.
---@return number
function lintel.now() end
---A random UUID.
---@return string
function lintel.uuid() end
---Waits so many seconds, or a time as in `"50ms"`, at most an hour. Other requests go on.
---@param duration number|string
function lintel.sleep(duration) end
---As `ctx:parallel`, also where there is no request.
---@param functions (fun(): any)[]
---@return any ...
function lintel.parallel(functions) end
---Keys that an issuer publishes, fetched in the background; in `init`.
---@param url string
---@param options? lintel.JwksOptions
---@return lintel.Keys
function lintel.jwks(url, options) end

---Lines in the error log with the name of the instance. Names of fields are small letters, digits and `_`; at most 16 fields, texts are cut after 1000 bytes.
---@class lintel.Log
local Log = {}
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.info(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.warn(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.error(message, fields) end

---Asks another service, and waits for its answer. Any status is a response; without one it gives nil, a reason such as `timeout` or `connect_refused`, and a text for people.
---@class lintel.http
local http = {}
---@param url string
---@param options? lintel.HttpOptions
---@return lintel.HttpResponse?
---@return string? reason
---@return string? why
function http.get(url, options) end
---@param url string
---@param options? lintel.HttpOptions
---@return lintel.HttpResponse?
---@return string? reason
---@return string? why
function http.post(url, options) end
---With any method.
---@param options lintel.HttpOptions
---@return lintel.HttpResponse?
---@return string? reason
---@return string? why
function http.request(options) end

---Options of a request.
---@class lintel.HttpOptions
---@field url? string Of `request`: `http://` or `https://`.
---@field method? string Of `request`; `GET` without it.
---@field headers? table<string, string|string[]> At most 100.
---@field body? string
---@field json? any In place of `body`: a value, which is announced as `application/json`.
---@field socket? string A Unix socket to connect to, as in `"unix:/run/auth.sock"`; the URL has Host and path.
---@field timeout? number|string Of the whole, until the body is there: seconds or `"500ms"`, at most `"10m"`; 1 second without it.
---@field connect_timeout? number|string Until there is a connection; as `timeout` without it.
---@field redirects? integer How many may be followed, at most 10; none without it.
---@field max? integer|string Bytes of the response's body: `"1M"` without it, at most `"16M"`.

---What `lintel.http` gives.
---@class lintel.HttpResponse
---@field status integer
---@field headers lintel.Headers
---@field body string
local HttpResponse = {}
---The value that the body holds.
---@return any value
---@return "malformed_json"|nil reason
function HttpResponse:json() end

---JSON (RFC 8259).
---@class lintel.json
---@field null lightuserdata null in arrays and objects.
---@field empty_array lightuserdata What encodes as `[]`.
local json = {}
---Raises for what JSON can't hold. Keys are sorted. An empty table is an object, unless it was decoded as an array.
---@param value any
---@return string
function json.encode(value) end
---Nil and what is wrong when the text is malformed. At most 512 KB and 64 levels. Integers that 64 bits do not hold become floats. Arrays stay arrays when they are encoded again, empty or not: their metatable can't be replaced.
---@param text string
---@return any value
---@return string? why
function json.decode(text) end

---Remembers what was looked up, on each worker for itself.
---@class lintel.cache
local cache = {}
---Makes a cache; in `init`.
---@param options? lintel.CacheOptions
---@return lintel.Cache
function cache.new(options) end

---Options of `lintel.cache.new`.
---@class lintel.CacheOptions
---@field max? integer Values that are kept, at most 100000; 1000 without it.
---@field bytes? integer|string About as much memory, `"1M"` without it.
---@field ttl? number|string How long a value is good, `"1m"` without it.
---@field negative_ttl? number|string For how long a loader that found nothing isn't asked again; 0 without it.
---@field stale? number|string For how long a value that is over is still given while a loader runs or as long as loaders fail; 0 without it.

---What `lintel.cache.new` gives: a cache of this worker, in the memory of its file.
---@class lintel.Cache
local Cache = {}
---The value of a key; `loader` gets what is not there, and may wait. Calls that want the same key at once wait for one loader. It returns the value and, if it has one of its own, a ttl; or nil: there is no such thing; or nil and a reason: it could not be found out, and `get` gives both.
---@param key string
---@param loader? fun(key: string): (value: any, ttl: any)
---@return any value
---@return string? reason
function Cache:get(key, loader) end
---Any value but nil, as it is.
---@param key string
---@param value any
---@param ttl? number|string
function Cache:set(key, value, ttl) end
---@param key string
function Cache:delete(key) end

---Values that all workers see. They live as long as the gateway process.
---@class lintel.shared
local shared = {}
---The values of this instance, or those of a name.
---@param options? {name?: string}
---@return lintel.Shared
function shared.open(options) end

---What `lintel.shared.open` gives. Each function is one step: no other worker comes in between.
---@class lintel.Shared
local Shared = {}
---@param key string
---@return (string|number|boolean)?
function Shared:get(key) end
---Nil and `too_large` for a text beyond 64 KB.
---@param key string
---@param value string|number|boolean
---@param ttl? number|string
---@return true?
---@return string? reason
function Shared:set(key, value, ttl) end
---As `set`, but false when there is one.
---@param key string
---@param value string|number|boolean
---@param ttl? number|string
---@return boolean? added
---@return string? reason
function Shared:add(key, value, ttl) end
---Adds `by` (1) to the value; where there is none to `init` (0), and `ttl` begins. Nil and `not_a_number` for anything else.
---@param key string
---@param by? number
---@param init? number
---@param ttl? number|string
---@return number? sum
---@return string? reason
function Shared:incr(key, by, init, ttl) end
---Puts `new` in the place of `old`, false if the value is another; nil stands for none.
---@param key string
---@param old (string|number|boolean)?
---@param new (string|number|boolean)?
---@param ttl? number|string
---@return boolean? changed
---@return string? reason
function Shared:cas(key, old, new, ttl) end
---Whether there was one.
---@param key string
---@return boolean
function Shared:delete(key) end
---Seconds left, `math.huge` without an end.
---@param key string
---@return number?
function Shared:ttl(key) end

---Limits by key, in memory that all workers share and that survives reloads and crashes.
---@class lintel.limit
local limit = {}
---Takes one request from the limit of a key; times are seconds, rounded up. Instances that give the same `name` share their counts.
---@param key string
---@param rate lintel.Rate|string
---@param burst? integer
---@param name? string
---@return boolean allowed
---@return integer remaining
---@return integer retry_after
---@return integer reset
function limit.gcra(key, rate, burst, name) end
---For `init`: raises when such a limit can't be kept.
---@param rate lintel.Rate|string
---@param burst? integer
function limit.check(rate, burst) end
---Adds `RateLimit` and `RateLimit-Policy` to the response; in `request` and `response`.
---@param ctx lintel.Ctx
---@param name string
---@param policy string
---@param remaining integer
---@param reset integer
function limit.announce(ctx, name, policy, remaining, reset) end
---For `init`: a limit that judges a request by one call.
---@param options lintel.LimitOptions
---@return lintel.Limit
function limit.new(options) end

---A setting of the type `rate`.
---@class lintel.Rate
---@field count integer
---@field seconds number

---JSON Web Tokens (RFC 7519).
---@class lintel.jwt
local jwt = {}
---A key set; in `init`. Raises for keys that are malformed, private or weak.
---@param from {jwks?: string|string[], pem?: string|string[], secret?: string|string[]}
---@return lintel.Keys
function jwt.keys(from) end
---The claims of a token that is signed by one of the keys and keeps the rules; else nil and why. Waits when the keys are fetched and lack the one of the token.
---@param token string
---@param keys lintel.Keys
---@param rules? lintel.TokenRules
---@return table<string, any>? claims
---@return string? reason
function jwt.verify(token, keys, rules) end
---The rules alone, for claims as JSON text that need no signature.
---@param text string
---@param rules? lintel.TokenRules
---@return table<string, any>? claims
---@return string? reason
function jwt.judge(text, rules) end

---Keys that tokens are verified with.
---@class lintel.Keys
local Keys = {}
---What the keys can be used with.
---@return string[]
function Keys:algs() end
---Puts another JWK Set in the place of all keys that came from one.
---@param jwks string
---@return integer? n
---@return "bad_keys"|nil reason
---@return string? why
function Keys:replace(jwks) end

---Options of `lintel.jwt.verify`.
---@class lintel.TokenRules
---@field algs? string|string[] Narrows what the keys allow.
---@field issuer? string|string[] Accepted `iss`; any without it.
---@field audience? string|string[] What we are called in `aud`. Without it a token that has `aud` is refused; `"*"` takes any.
---@field scope? string|string[] Scopes that all have to be in `scope` or `scp`.
---@field scope_any? string|string[] Scopes of which one has to be there.
---@field required? string|string[] Claims that have to be there.
---@field claims? table<string, any> Claim to the value or list of values of which it has to be one, or to hold one; `{all = {...}}`: it has to hold each. `"a.b"` is the member `b` of `a`.
---@field typ? string `typ` of the header; `application/` may be left out.
---@field leeway? number Seconds by which clocks may differ; 0 without it.
---@field require_exp? boolean `false`: `exp` may be missing.
---@field max? integer Longest token in bytes: 16384 without it, up to 65536.

---Options of `lintel.jwks`.
---@class lintel.JwksOptions
---@field discover? boolean The URL is an issuer's, whose `/.well-known/openid-configuration` says where the keys are.
---@field refresh? number|string How long keys are fresh; `15m` without it. `Cache-Control: max-age` may say less, down to a minute.
---@field retry? number|string Between two fetches because of keys that are not there: `10s` without it.
---@field stale? number|string How long old keys serve while the issuer doesn't answer: `1d` without it.
---@field timeout? number|string Of one fetch: `5s` without it, at most a minute.
---@field wait? number|string For which `lintel.jwt.verify` waits for a fetch: `3s` without it, and a little less than what is left of `budget.wall`.
---@field max? integer|string Bytes of an answer: `64K` without it, at most 256K.

---Digests, HMACs, passwords, encodings.
---@class lintel.crypto
local crypto = {}
---The digest, raw.
---@param text string
---@return string
function crypto.sha256(text) end
---The digest in hexadecimal.
---@param text string
---@return string
function crypto.sha256_hex(text) end
---The HMAC, raw.
---@param key string
---@param text string
---@return string
function crypto.hmac_sha256(key, text) end
---The HMAC in hexadecimal.
---@param key string
---@param text string
---@return string
function crypto.hmac_sha256_hex(key, text) end
---A digest, raw.
---@param hash "sha1"|"sha256"|"sha384"|"sha512"
---@param text string
---@return string
function crypto.digest(hash, text) end
---An HMAC, raw.
---@param hash "sha1"|"sha256"|"sha384"|"sha512"
---@param key string
---@param text string
---@return string
function crypto.sign(hash, key, text) end
---Whether `signature`, raw, is that HMAC, in constant time.
---@param hash "sha1"|"sha256"|"sha384"|"sha512"
---@param key string
---@param text string
---@param signature string
---@return boolean
function crypto.verify(hash, key, text, signature) end
---Compares secrets: how long it takes doesn't tell where they differ.
---@param a string
---@param b string
---@return boolean
function crypto.constant_time_equal(a, b) end
---For `init`: whether `crypt_verify` takes that hash of a password; else nil, `unsupported_hash` and why.
---@param hash string
---@return true?
---@return string? reason
---@return string? why
function crypto.crypt_check(hash) end
---Waits while a thread computes the hash; else nil and `busy` or `unsupported_hash`.
---@param password string
---@param hash string
---@return boolean?
---@return string? reason
function crypto.crypt_verify(password, hash) end
---1 to 1024 bytes, fit for keys.
---@param n integer
---@return string
function crypto.random_bytes(n) end
---@param text string
---@return string
function crypto.hex_encode(text) end
---Nil for what is malformed.
---@param text string
---@return string?
function crypto.hex_decode(text) end
---@param text string
---@return string
function crypto.base64_encode(text) end
---Nil for what is malformed.
---@param text string
---@return string?
function crypto.base64_decode(text) end
---Without padding.
---@param text string
---@return string
function crypto.base64url_encode(text) end
---Nil for what is malformed.
---@param text string
---@return string?
function crypto.base64url_decode(text) end

---Regular expressions of PCRE2, on bytes, whose steps are counted.
---@class lintel.re
local re = {}
---Compiles a regular expression; in `init` or at the top of the file. Flags are `i`, `m`, `s`, `x`.
---@param pattern string
---@param flags? string
---@return lintel.Re
function re.new(pattern, flags) end

---A regular expression. All give nil and `too_complex` for a search of too many steps, nil and `too_large` for texts and results beyond 512 KB or more than 10,000 pieces.
---@class lintel.Re
local Re = {}
---Whether it matches somewhere.
---@param text string
---@return boolean? found
---@return string? why
function Re:test(text) end
---The groups of the first match by number and by name; number 0 is all of it.
---@param text string
---@return table<integer|string, string>? groups
---@return string? why
function Re:match(text) end
---The text with at most `max` matches replaced, and how many were. `with` is a template with `$1`, `${name}`, `$0`, `$$`, or a function, which leaves a match as it is by nil.
---@param text string
---@param with string|fun(groups: table<integer|string, string>): string|number|false|nil
---@param max? integer
---@return string? text
---@return integer|string count
function Re:replace(text, with, max) end
---The pieces between matches.
---@param text string
---@param max? integer
---@return string[]? pieces
---@return string? why
function Re:split(text, max) end

---For filters that get header fields by settings.
---@class lintel.header
local header = {}
---For `init`: raises when headers of that side can't be given this field or, without a value, be rid of it.
---@param side "request"|"response"
---@param name string
---@param value? string|number
function header.check(side, name, value) end

---For filters that get names of `ctx.fields` by settings.
---@class lintel.fields
local fields = {}
---For `init`: raises when lines of the access log can't have a member of this name.
---@param name string
function fields.check(name) end

---What lies on the disk. Filters read no files: settings may hold `${file:PATH}`.
---@class lintel.file
local file = {}
---Whether there is a file or a folder of this path, which starts at the root, as settings of the type `file` do. Waits for a thread that looks. nil and `busy` or `unreadable`: it can't be told.
---@param path string
---@return boolean?
---@return string? reason
---@return string? detail
function file.exists(path) end

---Calls of Redis: one server, Sentinel or Cluster.
---@class lintel.redis
local redis = {}
---A client; in `init`. Raises for a URL that is wrong.
---@param url string
---@param options? lintel.RedisOptions
---@return lintel.Redis
function redis.new(url, options) end

---What `lintel.redis.new` gives; not for `init`.
---@class lintel.Redis
local Redis = {}
---One command. Nil without a reason is Redis' nil; an error of Redis is the reason `redis_error`, whose text is `why`.
---@param command string
---@param ... string|number
---@return string|integer|false|table|nil reply
---@return string? reason
---@return string? why
function Redis:call(command, ...) end
---Up to 500 commands that leave together; their replies in order. An error among them is `{err = text}`, a nil is false.
---@param commands (string|number)[][]
---@return (string|integer|false|table)[]? replies
---@return string? reason
---@return string? why
function Redis:pipeline(commands) end
---Runs a script in Redis, by `EVALSHA` where Redis knows it.
---@param script string
---@param keys? (string|number)[]
---@param args? (string|number)[]
---@return string|integer|false|table|nil reply
---@return string? reason
---@return string? why
function Redis:eval(script, keys, args) end

---How long calls may take.
---@class lintel.RedisOptions
---@field timeout? number|string Of a whole call; `1s`, at most `1m`.
---@field connect_timeout? number|string Until there is a connection with its login; `500ms`.

---What `lintel.limit.new` takes: `rate`, `in_flight`, or both.
---@class lintel.LimitOptions
---@field key? fun(ctx: lintel.Ctx): string|boolean|nil A setting of the type `expr`: the key of requests for which none is given.
---@field rate? lintel.Rate|string|(lintel.Rate|string)[] One or several, at most 8, which all have to allow a request.
---@field burst? integer Requests that may come at once besides, for each rate.
---@field in_flight? integer Most requests of a key at the same time, up to 1000.
---@field ipv6_prefix? integer Keys that are IPv6 addresses are one if so many bits (64) are the same.
---@field dry_run? boolean Counts, but refuses nothing and tells clients nothing.
---@field fleet? boolean Counted elsewhere: `lintel limits` says so.
---@field name? string In the fields for clients. Limits of the same name share their counts; without one those of the instance are its own.

---What `lintel.limit.new` gives.
---@class lintel.Limit
local Limit = {}
---Takes `cost` (1) requests of all rates or of none, adds `RateLimit` and `RateLimit-Policy` to the response and counts for the operator. Nothing if the request may pass, else the seconds after which to come again.
---@param ctx lintel.Ctx
---@param key string?
---@param cost? integer
---@return integer? retry_after
function Limit:take(ctx, key, cost) end
---Counts the exchange as in flight until it ends, however it does. As `take`.
---@param ctx lintel.Ctx
---@param key string?
---@return integer? retry_after
function Limit:enter(ctx, key) end
---As `take` where something else has counted: by which rate, what it said, and times in microseconds.
---@param ctx lintel.Ctx
---@param key string?
---@param rate integer
---@param allowed boolean
---@param remaining integer
---@param retry_us integer
---@param reset_us integer
---@return integer? retry_after
function Limit:judge(ctx, key, rate, allowed, remaining, retry_us, reset_us) end
---The name of the counts, a colon and the key as it is counted, for those who count elsewhere.
---@param key string?
---@return string
function Limit:id(key) end
---Counts a request that had to be counted here.
function Limit:fell_back() end

---Sets of IP addresses.
---@class lintel.cidr
local cidr = {}
---In `init`: a set of the addresses and blocks in a list, or in the lines of a text, as in `"10.0.0.0/8"` or `"::1"`. What comes after `#` in a line is a comment. At most 200000 rows, of 32 bytes each; a search takes some microseconds.
---@param blocks string[]|string
---@return lintel.CidrSet
function cidr.set(blocks) end

---Blocks of addresses, from `lintel.cidr.set`.
---@class lintel.CidrSet
local CidrSet = {}
---Whether the address lies in one of the blocks; an IPv4 address that is mapped into IPv6 is that IPv4 address.
---@param ip string
---@return boolean
function CidrSet:contains(ip) end
