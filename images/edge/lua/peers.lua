--- Choice of a play pod, and memory of those that failed.
-- In:  a stream's addresses, a number to spread by, and reports of failures.
-- Out: `choose()`: an address that is not known as bad, or nil.
-- A bad peer gets no requests until a probe of its /ready has succeeded. The first probe comes after 5
-- seconds; each failure doubles that time, up to 60 seconds. When a stream has no good peer left, its
-- peers are probed every second. Nothing runs while no peer is bad.
local http = require "http"
local keys = require "keys"
local log = require "log"
local metrics = require "metrics"
local settings = require "settings"

local M = {}

local FIRST_SECONDS, LONGEST_SECONDS = 5, 60
local URGENT_SECONDS = 1
--- A failure within this time after the last one continues its growth.
local MEMORY_SECONDS = 60
--- A bad peer that no request wanted for this time is forgotten: its pod is gone.
local FORGET_SECONDS = 120
local PROBES_AT_ONCE = 32

local bad, history = {}, {}
local armed_for

local probe_due

local function arm(at)
  if armed_for and armed_for <= at then return end
  armed_for = at
  log.later(math.max(0, at - ngx.now()), probe_due, at)
end

local function probe(address, entry)
  entry.probed = ngx.now()
  local answer = http.get(address, settings.play_port, "/ready", keys.bearer(entry.stream))
  local now = ngx.now()
  if answer and answer.status == 200 then
    bad[address] = nil
    history[address] = {wait = entry.wait, at = now}
    metrics.changed()
    log.warn("play pod " .. address .. " answers again")
    return
  end
  entry.wait = math.min(entry.wait * 2, LONGEST_SECONDS)
  entry.due = now + (entry.urgent and URGENT_SECONDS or entry.wait)
  entry.urgent = nil
end

--- Probe every bad peer whose time has come, and set the timer for the others.
probe_due = function(at)
  if armed_for ~= at then return end
  armed_for = nil
  if ngx.worker.exiting() then return end
  local now, threads = ngx.now(), {}
  for address, entry in pairs(bad) do
    if now - entry.wanted > FORGET_SECONDS then
      bad[address] = nil
      metrics.changed()
    elseif entry.due <= now + 0.01 and #threads < PROBES_AT_ONCE then
      threads[#threads + 1] = ngx.thread.spawn(probe, address, entry)
    end
  end
  for _, thread in ipairs(threads) do ngx.thread.wait(thread) end
  for address, entry in pairs(history) do
    if ngx.now() - entry.at > MEMORY_SECONDS then history[address] = nil end
  end
  local soonest
  for _, entry in pairs(bad) do soonest = math.min(soonest or entry.due, entry.due) end
  if soonest then arm(soonest) end
end

--- Remember that a peer failed.
function M.failed(address, stream, reason)
  if bad[address] then return end
  local now, before = ngx.now(), history[address]
  local wait = FIRST_SECONDS
  if before and now - before.at < MEMORY_SECONDS then
    wait = math.min(before.wait * 2, LONGEST_SECONDS)
  end
  bad[address] = {stream = stream, wait = wait, due = now + wait, wanted = now, probed = 0}
  log.warn("play pod " .. address .. " of " .. stream .. " does not serve: " .. reason)
  arm(now + wait)
  metrics.changed()
end

--- Return the number of bad peers in this worker.
function M.bad_count()
  local count = 0
  for _ in pairs(bad) do count = count + 1 end
  return count
end

--- Return an address for this number, without those in `tried`.
function M.choose(list, number, tried)
  local count, now = #list, ngx.now()
  for step = 0, count - 1 do
    local address = list[(number + step) % count + 1]
    local entry = bad[address]
    if entry then
      entry.wanted = now
    elseif not (tried and tried[address]) then
      return address
    end
  end
  for _, address in ipairs(list) do
    local entry = bad[address]
    if entry then
      entry.urgent = true
      entry.due = math.min(entry.due, math.max(now, entry.probed + URGENT_SECONDS))
      arm(entry.due)
    end
  end
  return nil
end

return M
