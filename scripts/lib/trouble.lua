-- SPDX-License-Identifier: Apache-2.0
-- Trouble that any request may meet, told in the log without a line for each: when it begins, then
-- every ten seconds at most, with how often it came, and when it has not come for as long.
local M = {}

local PAUSE = 10 -- seconds

-- message: of its lines; over: of the line that says that all is well again, if anything can.
function M.new(message, over)
  return { message = message, over = over, times = 0 }
end

-- Whether the pause after this moment is over. The clock may have been set back.
local function is_past(moment, now)
  return not moment or now >= moment + PAUSE or now < moment
end

-- It came. fields: what its line says besides; they are the trouble's.
function M.came(trouble, fields)
  local now = lintel.now()
  trouble.times, trouble.last = trouble.times + 1, now
  if is_past(trouble.told, now) then
    fields.times = trouble.times
    lintel.log.warn(trouble.message, fields)
    trouble.times, trouble.told = 0, now
  end
end

-- It did not come this time.
function M.went_well(trouble)
  if trouble.last and is_past(trouble.last, lintel.now()) then
    lintel.log.info(trouble.over, { times = trouble.times })
    trouble.times, trouble.last, trouble.told = 0, nil, nil
  end
end

return M
