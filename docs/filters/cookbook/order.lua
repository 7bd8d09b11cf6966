-- SPDX-License-Identifier: Apache-2.0
-- Looks into orders: refuses what is too much, sends those of a tenant to its own servers, and hides
-- what an order has cost us.
local M = { group = "auth" }

M.schema = {
  most = { type = "int", default = 100, doc = "Items in one order." },
  pools = { type = "map", of = "string", default = {}, doc = "Tenant to the upstream of its own." },
}

function M.request(ctx)
  local order, why = ctx.req:json { max = "256K" }
  if not order then
    return ctx:deny(why == "too_large" and 413 or 400, "order_" .. why)
  end
  if type(order.items) ~= "table" or #order.items > ctx.conf.most then
    return ctx:deny(422, "order_items")
  end
  ctx.vars.tenant = type(order.tenant) == "string" and order.tenant or ""
end

function M.upstream(ctx)
  local tenant = ctx.vars.tenant
  ctx.upstream.pool = ctx.conf.pools[tenant] or ctx.upstream.name
  ctx.upstream.hash_key = tenant
  ctx.upstream.timeout = "10s"
end

function M.response(ctx)
  local told = ctx.res:json()
  if told and told.cost then
    told.cost = nil
    ctx.res:set_body(lintel.json.encode(told))
  end
end

return M
