--- Access verdicts: may this token see this stream?
-- In:  a route.
-- Out: "allow", "deny" or "expired"; or nil and a reason when no verdict could be had.
-- The play pod decides. A verdict is kept per worker for the time that the pod names (at most 30 s). It
-- is asked again by a timer before that time ends, so that viewers do not wait for it.
local flight = require "flight"
local log = require "log"
local lrucache = require "resty.lrucache"
local origin = require "origin"
local semaphore = require "ngx.semaphore"

local M = {}

local MAX_AGE_SECONDS = 30
--- Share of a verdict's time after which it is asked again.
local REFRESH_SHARE = 0.7
--- A verdict outlives an origin that does not answer by this time.
local GRACE_SECONDS = 60
--- Lookups of one stream under way in this worker, and requests that may wait for their turn. Wrong
-- tokens cost the play pod no more than this.
local AT_ONCE, QUEUE = 8, 256
local TURN_SECONDS = 3

local verdicts, gates = lrucache.new(20000), {}

local function key_of(route)
  return route.stream .. " " .. route.token
end

local function ask(route)
  local answer, reason = origin.fetch(route, "access?token=" .. route.token)
  if not answer then return nil, reason end
  local verdict = answer.status == 200 and answer.body:match('"verdict"%s*:%s*"(%l+)"')
  if verdict ~= "allow" and verdict ~= "deny" and verdict ~= "expired" then
    return nil, answer.status == 404 and "missing" or "unreachable"
  end
  local seconds = tonumber(answer.body:match('"max_age"%s*:%s*([%d.]+)')) or 0
  seconds = math.min(seconds, MAX_AGE_SECONDS)
  local now = ngx.now()
  local entry = {verdict = verdict, till = now + seconds, renew = now + seconds * REFRESH_SHARE}
  verdicts:set(key_of(route), entry)
  return entry
end

--- Ask in turn with the other lookups of this stream.
local function in_turn(route)
  local gate = gates[route.stream]
  if not gate then
    gate = {turn = semaphore.new(AT_ONCE), users = 0}
    gates[route.stream] = gate
  end
  if gate.users >= AT_ONCE + QUEUE then return nil, "busy" end
  gate.users = gate.users + 1
  local entry, reason = nil, "busy"
  if gate.turn:wait(TURN_SECONDS) then
    local ok
    ok, entry, reason = pcall(ask, route)
    if not ok then entry, reason = nil, "internal" end
    gate.turn:post(1)
  end
  gate.users = gate.users - 1
  if gate.users == 0 then gates[route.stream] = nil end
  return entry, reason
end

local function look_up(route)
  return flight.run("access " .. key_of(route), in_turn, route)
end

local function renew(route, entry)
  -- The entry is replaced when the pod answers. If not, the next try comes after 2 seconds.
  if not look_up(route) then entry.renew = ngx.now() + 2 end
end

function M.check(route)
  local now, entry = ngx.now(), verdicts:get(key_of(route))
  if entry and now < entry.till then
    if now > entry.renew then
      entry.renew = entry.till + GRACE_SECONDS
      log.later(0, renew, route, entry)
    end
  else
    local fresh, reason = look_up(route)
    if fresh then
      entry = fresh
    elseif not entry or now > entry.till + GRACE_SECONDS then
      return nil, reason
    end
  end
  if entry.verdict == "allow" and route.expiry and route.expiry <= now then return "expired" end
  return entry.verdict
end

return M
