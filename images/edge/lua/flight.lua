--- Single flight: one call per key and worker, its result for all requests that wait.
-- In:  a key, a function that may wait for the network, and its arguments.
-- Out: the function's first two results; the third is true for a request that only waited.
-- nginx's proxy_cache_lock is no substitute: its waiters poll every 500 ms.
local log = require "log"
local semaphore = require "ngx.semaphore"

local M = {}

local WAIT_SECONDS = 12
local flights = {}

--- Requests that wait in this worker now.
M.waiting = 0

local function wait(flight)
  flight.waiters = flight.waiters + 1
  if not flight.done then flight.done = semaphore.new(0) end
  M.waiting = M.waiting + 1
  local ok = flight.done:wait(WAIT_SECONDS)
  M.waiting = M.waiting - 1
  if not ok then return nil, "timeout", true end
  return flight.result, flight.reason, true
end

function M.run(key, work, ...)
  local flight = flights[key]
  if flight then return wait(flight) end
  flight = {waiters = 0}
  flights[key] = flight
  local ok, result, reason = pcall(work, ...)
  flights[key] = nil
  if not ok then
    log.warn("a request failed in Lua: " .. tostring(result))
    result, reason = nil, "internal"
  end
  flight.result, flight.reason = result, reason
  if flight.waiters > 0 then flight.done:post(flight.waiters) end
  return result, reason, false
end

return M
