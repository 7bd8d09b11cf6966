---@meta lintel.test
-- SPDX-License-Identifier: Apache-2.0
-- What `require "lintel.test"` gives, for lua-language-server. The manual is docs/filters/testing.md.

---@class lintel.test.Message
---@field status? integer Of the response.
---@field headers? table<string, string|string[]>
---@field body? string|string[] A list: the pieces in which it comes.

---@class lintel.test.Request: lintel.test.Message
---@field method? string
---@field path? string With its query.
---@field host? string
---@field scheme? "http"|"https"
---@field client_ip? string
---@field trusted? boolean
---@field client_cert? {subject?: string, issuer?: string, serial?: string, san?: string, fingerprint?: string, not_after?: integer}

---@class lintel.test.Spec
---@field request? lintel.test.Request
---@field response? lintel.test.Message What the server answers.
---@field user? table<string, string|string[]>
---@field now? number Seconds since the case began.
---@field abort? number|string|{request?: integer, response?: integer} When the client leaves.
---@field busy? boolean No password can be hashed.

---@class lintel.test.LoadSpec
---@field conf? table
---@field upstreams? string[]
---@field now? number

---@class lintel.test.RunSpec: lintel.test.Spec
---@field conf? table
---@field upstreams? string[]

---@class lintel.test.Asked
---@field method string
---@field path string
---@field query? string
---@field headers table<string, string>
---@field body string
---@field pieces string[]
---@field upstream string

---@class lintel.test.Result
---@field status? integer
---@field headers table<string, string>
---@field body? string
---@field pieces? string[]
---@field reason? string
---@field cause? string
---@field error? string
---@field upstream_called boolean
---@field upstream_request? lintel.test.Asked
---@field user? table<string, string|string[]>
---@field fields table<string, any> Members of the access line.
---@field id string Of the request.
---@field log table[]
---@field slept number
---@field http table[]
---@field redis string[][]
---@field aborted boolean

---@class lintel.test.Filter
local filter = {}

---One exchange.
---@param spec lintel.test.Spec
---@return lintel.test.Result
function filter:run(spec) end

---Several at the same time.
---@param specs lintel.test.Spec[]
---@return lintel.test.Result[]
function filter:parallel(specs) end

---What the filter does every period, once.
---@param period string
---@return lintel.test.Result
function filter:every(period) end

---@class lintel.test
local t = {}

---A test. `budget` bounds what its filters may use.
---@param name string
---@param budget {cpu?: string|number, memory?: string}
---@param fn fun()
---@overload fun(name: string, fn: fun())
function t.case(name, budget, fn) end

---Loads a filter and sends one exchange through it.
---@param filter string
---@param spec lintel.test.RunSpec
---@return lintel.test.Result
function t.run(filter, spec) end

---Loads a filter that stays until the next one is loaded.
---@param filter string
---@param spec? lintel.test.LoadSpec
---@return lintel.test.Filter
function t.load(filter, spec) end

---Loads a filter and runs what it does every period, once.
---@param filter string
---@param period string
---@param spec? {conf?: table, now?: number}
---@return lintel.test.Result
function t.every(filter, period, spec) end

---What lintel.http gets for "METHOD URL" until the case ends.
---@param request string
---@param answer table|fun(request: table): table
function t.http(request, answer) end

---What lintel.redis gets until the case ends: replies by the command's name in capitals, or a
---function of the command and its arguments.
---@param answer table<string, any>|fun(command: string, ...: string): any, string?, string?
function t.redis(answer) end

---Moves the clock.
---@param seconds number
function t.advance(seconds) end

---@param got any
---@param wanted any
---@param message? string
function t.eq(got, wanted, message) end

---@param got any
---@param unwanted any
---@param message? string
function t.ne(got, unwanted, message) end

---@generic T
---@param value T
---@param message? string
---@return T
function t.ok(value, message) end

---@param got number
---@param wanted number
---@param tolerance number
---@param message? string
function t.near(got, wanted, tolerance, message) end

---@param text string
---@param pattern string
---@param message? string
function t.match(text, pattern, message) end

---@param fn fun()
---@param pattern? string
---@param message? string
---@return any error What it raised.
function t.raises(fn, pattern, message) end

---A filter failed in this exchange.
---@param result lintel.test.Result
---@param pattern? string
---@param message? string
---@return string error
function t.error(result, pattern, message) end

---@param message string
function t.fail(message) end

---The digest in hexadecimal.
---@param text string
---@return string
function t.sha256(text) end

return t
