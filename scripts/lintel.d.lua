---@meta
-- SPDX-License-Identifier: Apache-2.0
-- What filters of Lintel see, for lua-language-server: put this file into `workspace.library`. It is
-- no filter and nothing runs it.

---What a hook returns to end the request: from `ctx:deny`, `ctx:respond` or `ctx:redirect`.
---@class lintel.Answer

---Header fields. Keys ignore case: reading gives the first field of a name, writing replaces all of
---them, nil removes them.
---@class lintel.Headers
---@field [string] string|number|nil
local headers = {}
---Adds a field beside those of the same name.
---@param name string
---@param value string|number
function headers:add(name, value) end
---All values of a field.
---@param name string
---@return string[]
function headers:all(name) end

---@class lintel.Cert
---@field subject? string
---@field san? string
---@field fingerprint? string SHA-256 in hexadecimal

---@class lintel.Tls
---@field version string
---@field sni? string
---@field cert? lintel.Cert of a certificate that is valid

---@class lintel.Request
---@field method string
---@field path string normalised
---@field target string as the client sent it
---@field host string
---@field scheme string
---@field http_version "1.0"|"1.1"|"2"
---@field headers lintel.Headers
---@field query table<string, string?>
local request = {}
---The token of `Authorization: Bearer TOKEN`.
---@return string?
function request:bearer() end
---@param name string
---@return string?
function request:cookie(name) end
---The whole body as it was sent; else nil and a reason.
---@param options? {max?: integer|string} 64 KB without it
---@return string? text
---@return string? reason
function request:body(options) end
---The body's value; else nil, a reason and, if it is malformed, why.
---@param options? {max?: integer|string}
---@return any value
---@return string? reason
---@return string? detail
function request:json(options) end
---Puts another body in its place.
---@param text string
function request:set_body(text) end

---@class lintel.Response
---@field status integer may be set in `response`
---@field headers lintel.Headers
local response = {}
---The whole body as it was sent; else nil and a reason.
---@param options? {max?: integer|string} 64 KB without it
---@return string? text
---@return string? reason
function response:body(options) end
---The body's value; else nil, a reason and, if it is malformed, why.
---@param options? {max?: integer|string}
---@return any value
---@return string? reason
---@return string? detail
function response:json(options) end
---Puts another body in its place.
---@param text string
function response:set_body(text) end

---@class lintel.Client
---@field ip string behind trusted proxies the one that they name
---@field port integer
---@field peer_ip string who connected
---@field trusted boolean
---@field tls? lintel.Tls

---@class lintel.Route
---@field name string
---@field site string

---@class lintel.Upstream
---@field name? string
---@field server? string
---@field status? integer
---@field pool string may be set in `upstream`: another upstream
---@field hash_key string may be set in `upstream`
---@field timeout number|string may be set in `upstream`: of the whole exchange from now

---Lines in the error log with the instance and the id of the request. Names of fields are small
---letters, digits and `_`.
---@class lintel.Log
local log = {}
---@param message string
---@param fields? table<string, string|number|boolean>
function log.info(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function log.warn(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function log.error(message, fields) end

---@class lintel.Ctx
---@field req lintel.Request
---@field res lintel.Response in `response` and `log`
---@field client lintel.Client
---@field route lintel.Route
---@field upstream lintel.Upstream
---@field user? table<string, string> who it is; `{id = "alice"}` sets it
---@field vars table<string, any> kept for the exchange
---@field conf table<string, any> the settings
---@field state any what `init` returned
---@field name string of the instance
---@field priority "high"|"normal"|"low" may be set in `request`
---@field id string of the request
---@field cause string so far
---@field elapsed number seconds since the exchange began
---@field log lintel.Log
local ctx = {}
---A refusal. Return it.
---@param status integer 400 to 599
---@param reason string a stable id, as in "unknown_key"
---@param headers? table<string, string|number>
---@return lintel.Answer
function ctx:deny(status, reason, headers) end
---Any answer. Return it.
---@param answer {status: integer, headers?: table<string, string|number>, body?: string, json?: any}
---@return lintel.Answer
function ctx:respond(answer) end
---Return it.
---@param url string
---@param status? integer 302 unless said otherwise
---@return lintel.Answer
function ctx:redirect(url, status) end
---Waits; other requests go on meanwhile.
---@param duration number|string seconds, or as in "50ms"
function ctx:sleep(duration) end
---In `body`: gives a piece of the body.
---@param text string
function ctx:emit(text) end
---Runs functions beside each other, at most 16; gives the first result of each.
---@param functions (fun(): any)[]
---@return any ...
function ctx:parallel(functions) end
---Runs fn when this call of the hook is over, however it ends. It can't wait.
---@param fn fun()
function ctx:defer(fn) end

---A setting of the type `rate`.
---@class lintel.Rate
---@field count integer
---@field seconds number

---A regular expression.
---@class lintel.Re
local re = {}
---Whether it matches somewhere; nil and why when that is not known.
---@param text string
---@return boolean? found
---@return "too_complex"|"too_large"|nil why
function re:test(text) end
---The groups of the first match by number and by name; number 0 is all of it.
---@param text string
---@return table<integer|string, string>? groups
---@return "too_complex"|"too_large"|nil why
function re:match(text) end
---@param text string
---@param with string|fun(groups: table<integer|string, string>): string|number|false|nil `$1`, `${name}`, `$0`, `$$`
---@param max? integer
---@return string? text
---@return integer|"too_complex"|"too_large" count
function re:replace(text, with, max) end
---@param text string
---@param max? integer
---@return string[]? pieces
---@return "too_complex"|"too_large"|nil why
function re:split(text, max) end

---@class lintel.limit
local limit = {}
---Takes one request from the limit of a key.
---@param key string
---@param rate lintel.Rate|string
---@param burst? integer
---@param name? string instances that give the same name share their counts
---@return boolean allowed
---@return integer remaining
---@return integer retry_after seconds
---@return integer reset seconds
function limit.gcra(key, rate, burst, name) end
---Raises when such a limit can't be kept.
---@param rate lintel.Rate|string
---@param burst? integer
function limit.check(rate, burst) end
---Adds RateLimit and RateLimit-Policy to the response.
---@param ctx lintel.Ctx
---@param name string
---@param policy string
---@param remaining integer
---@param reset integer
function limit.announce(ctx, name, policy, remaining, reset) end

---@class lintel.header
local header = {}
---Raises when a header can't be given this value or, without one, be removed.
---@param side "request"|"response"
---@param name string
---@param value? string|number
function header.check(side, name, value) end

---@class lintel.crypto
local crypto = {}
---@param text string
---@return string
function crypto.sha256(text) end
---@param text string
---@return string
function crypto.sha256_hex(text) end
---@param key string
---@param text string
---@return string
function crypto.hmac_sha256(key, text) end
---@param key string
---@param text string
---@return string
function crypto.hmac_sha256_hex(key, text) end
---@param a string
---@param b string
---@return boolean
function crypto.constant_time_equal(a, b) end
---@param n integer 1 to 1024
---@return string
function crypto.random_bytes(n) end
---@param text string
---@return string
function crypto.hex_encode(text) end
---@param text string
---@return string?
function crypto.hex_decode(text) end
---@param text string
---@return string
function crypto.base64_encode(text) end
---@param text string
---@return string?
function crypto.base64_decode(text) end
---@param text string
---@return string
function crypto.base64url_encode(text) end
---@param text string
---@return string?
function crypto.base64url_decode(text) end

---@alias lintel.Hash "sha1"|"sha256"|"sha384"|"sha512"

---@param hash lintel.Hash
---@param text string
---@return string raw
function crypto.digest(hash, text) end
---HMAC.
---@param hash lintel.Hash
---@param key string
---@param text string
---@return string raw
function crypto.sign(hash, key, text) end
---Whether it is that HMAC, in constant time.
---@param hash lintel.Hash
---@param key string
---@param text string
---@param signature string raw
---@return boolean
function crypto.verify(hash, key, text, signature) end
---Waits while a thread computes the hash.
---@param password string
---@param hash string
---@return boolean?
---@return "busy"|"unsupported_hash"|nil reason
function crypto.crypt_verify(password, hash) end
---Whether `crypt_verify` takes it; for `init`.
---@param hash string
---@return true?
---@return "unsupported_hash"|nil reason
---@return string? why
function crypto.crypt_check(hash) end

---Keys that tokens are verified with.
---@class lintel.Keys
local keys = {}
---What the keys can be used with.
---@return string[]
function keys:algs() end
---Puts another JWK Set in the place of all keys that came from one.
---@param jwks string
---@return integer? n
---@return "bad_keys"|nil reason
---@return string? why
function keys:replace(jwks) end

---@class lintel.TokenRules
---@field algs? string|string[]
---@field issuer? string|string[]
---@field audience? string|string[]
---@field scope? string|string[]
---@field required? string|string[]
---@field claims? table<string, any>
---@field typ? string
---@field leeway? number
---@field require_exp? boolean
---@field max? integer

---@class lintel.jwt
local jwt = {}
---A key set; in `init`.
---@param from {jwks?: string|string[], pem?: string|string[], secret?: string|string[]}
---@return lintel.Keys
function jwt.keys(from) end
---@param token string
---@param keys lintel.Keys
---@param rules? lintel.TokenRules
---@return table<string, any>? claims
---@return string? reason
function jwt.verify(token, keys, rules) end

---@class lintel.HttpOptions
---@field url? string of `request`
---@field method? string of `request`
---@field headers? table<string, string|string[]>
---@field body? string
---@field json? any
---@field socket? string
---@field timeout? number|string
---@field connect_timeout? number|string
---@field redirects? integer
---@field max? integer|string

---@class lintel.HttpResponse
---@field status integer
---@field headers lintel.Headers
---@field body string
local http_response = {}
---@return any value
---@return "malformed_json"|nil reason
function http_response:json() end

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
---@param options lintel.HttpOptions
---@return lintel.HttpResponse?
---@return string? reason
---@return string? why
function http.request(options) end

---@alias lintel.Shareable string|number|boolean

---A cache of this worker.
---@class lintel.Cache
local store = {}
---@param key string
---@param loader? fun(key: string): any, any may wait; gives value and ttl, or nil and a reason
---@return any value
---@return string? reason
function store:get(key, loader) end
---@param key string
---@param value any
---@param ttl? number|string
function store:set(key, value, ttl) end
---@param key string
function store:delete(key) end

---@class lintel.cache
local cache = {}
---In `init`.
---@param options? {max?: integer, bytes?: integer|string, ttl?: number|string, stale?: number|string, negative_ttl?: number|string}
---@return lintel.Cache
function cache.new(options) end

---Values that all workers see.
---@class lintel.Shared
local space = {}
---@param key string
---@return lintel.Shareable?
function space:get(key) end
---@param key string
---@param value lintel.Shareable
---@param ttl? number|string
---@return true?
---@return "too_large"|nil reason
function space:set(key, value, ttl) end
---@param key string
---@param value lintel.Shareable
---@param ttl? number|string
---@return boolean? added false when there is one
---@return "too_large"|nil reason
function space:add(key, value, ttl) end
---@param key string
---@param by? number
---@param init? number
---@param ttl? number|string
---@return number? sum
---@return "not_a_number"|nil reason
function space:incr(key, by, init, ttl) end
---@param key string
---@param old lintel.Shareable?
---@param new lintel.Shareable?
---@param ttl? number|string
---@return boolean? changed
---@return "too_large"|nil reason
function space:cas(key, old, new, ttl) end
---@param key string
---@return boolean whether there was one
function space:delete(key) end
---@param key string
---@return number? seconds math.huge without an end
function space:ttl(key) end

---@class lintel.shared
local shared = {}
---@param options? {name?: string}
---@return lintel.Shared
function shared.open(options) end

---@class lintel.json
---@field null lightuserdata null in arrays and objects
---@field empty_array lightuserdata what encodes as `[]`
local json = {}
---@param value any
---@return string
function json.encode(value) end
---@param text string
---@return any value nil when the text is malformed
---@return string? why
function json.decode(text) end

---@class lintel.re
local patterns = {}
---Compiles a regular expression; in `init` or at the top of the file.
---@param pattern string
---@param flags? string of `i`, `m`, `s`, `x`
---@return lintel.Re
function patterns.new(pattern, flags) end

---@class lintel
---@field limit lintel.limit
---@field header lintel.header
---@field crypto lintel.crypto
---@field json lintel.json
---@field re lintel.re
---@field jwt lintel.jwt
---@field http lintel.http
---@field cache lintel.cache
---@field shared lintel.shared
---@field log lintel.Log
lintel = {}
---Seconds since 1970, with fractions.
---@return number
function lintel.now() end
---Waits.
---@param duration number|string seconds, or as in "50ms"
function lintel.sleep(duration) end
---Runs functions beside each other, at most 16; gives the first result of each.
---@param functions (fun(): any)[]
---@return any ...
function lintel.parallel(functions) end
---A random UUID.
---@return string
function lintel.uuid() end
