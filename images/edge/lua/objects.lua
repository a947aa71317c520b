--- Everything that comes from play pods, one origin request per object and worker.
-- In:  a route.
-- Out: the answer for playlists, pictures and parts; for finished segments, the fact that nginx's
--      cache has them.
-- Parts live in memory: they are wanted for a few seconds, by many viewers at once. Segments and init
-- segments live in nginx's cache on disk, which serves them with sendfile and ranges.
local flight = require "flight"
local lrucache = require "resty.lrucache"
local memory = require "memory"
local metrics = require "metrics"
local origin = require "origin"
local settings = require "settings"

local M = {}

--- A segment that was growing is treated as growing for this time without asking.
local GROWING_SECONDS = 0.3
--- A segment in nginx's cache is served without asking for this time. The cache keeps it for longer
-- (`inactive` in nginx.conf).
local CACHED_SECONDS = 600

local cached, growing = lrucache.new(20000), lrucache.new(1000)
local pictures = lrucache.new(64)
local parts

function M.init_worker()
  parts = memory.new(settings.part_memory_bytes)
end

local function count(was_shared)
  metrics.cache(was_shared and "shared" or "miss")
end

local function fetch(route, path)
  return origin.fetch(route, path)
end

--- A text that must be fresh.
function M.text(route)
  local answer, reason, was_shared = flight.run(route.key, fetch, route, route.path)
  count(was_shared)
  return answer, reason
end

local function fetch_picture(route)
  local answer, reason = origin.fetch(route, route.path)
  local seconds = answer and answer.status == 200
    and tonumber((answer.headers["cache-control"] or ""):match("max%-age=(%d+)"))
  if seconds and seconds > 0 then pictures:set(route.key, answer, math.min(seconds, 10)) end
  return answer, reason
end

--- A picture, from memory during its max-age.
function M.picture(route)
  local known = pictures:get(route.key)
  if known then
    metrics.cache("hit")
    return known
  end
  local answer, reason, was_shared = flight.run(route.key, fetch_picture, route)
  count(was_shared)
  return answer, reason
end

local function fetch_part(route, path, key)
  local answer, reason = origin.fetch(route, path)
  if answer and answer.status == 200 then parts:set(key, answer) end
  return answer, reason
end

--- A part by its path below the stream.
function M.part(route, path)
  local key = route.stream .. "/" .. path
  local known = parts:get(key)
  if known then
    metrics.cache("hit")
    return known
  end
  local answer, reason, was_shared = flight.run(key, fetch_part, route, path, key)
  count(was_shared)
  return answer, reason
end

local function fill(route)
  local answer, reason = origin.fetch(route, route.path, origin.into_cache)
  if not answer then return nil, reason end
  if answer.status == 200 then
    cached:set(route.key, true, CACHED_SECONDS)
  elseif answer.status == 204 and answer.headers["sluice-growing"] then
    growing:set(route.key, true, GROWING_SECONDS)
  end
  return answer
end

--- State of a segment or init segment: "cached", "growing", or nil, the origin's answer and a reason.
function M.object(route)
  if cached:get(route.key) then
    metrics.cache("hit")
    return "cached"
  end
  if growing:get(route.key) then return "growing" end
  local answer, reason, was_shared = flight.run(route.key, fill, route)
  if not answer then return nil, nil, reason end
  if answer.status == 200 then
    local was_there = answer.headers["sluice-cache"] == "HIT"
    metrics.cache(was_there and "hit" or was_shared and "shared" or "miss")
    return "cached"
  end
  if answer.status == 204 and answer.headers["sluice-growing"] then return "growing" end
  return nil, answer
end

--- Forget that a segment is in nginx's cache.
function M.forget(key)
  cached:delete(key)
end

return M
