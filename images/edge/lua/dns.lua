--- Addresses of play pods: a DNS client with a bounded cache. Debian has no lua-resty-dns.
-- In:  a name that ends with a dot.
-- Out: a sorted list of IPv4 addresses; or nil and a reason: "missing" (there is no such name), "away"
--      (the name had addresses within 5 minutes: its pods are not ready), "failed" (no DNS server
--      answers), "busy" (too many unknown names at once).
-- An address stays true while no DNS server answers. Unknown names have a cache of their own and a
-- limit of queries per second, so that a flood of them disturbs no known stream.
local flight = require "flight"
local keys = require "keys"
local log = require "log"
local lrucache = require "resty.lrucache"
local message = require "dns_message"
local settings = require "settings"

local M = {}

local TTL_MIN_SECONDS, TTL_MAX_SECONDS = 1, 10
local NEGATIVE_SECONDS, FAILED_SECONDS = 3, 2
--- An address whose TTL has ended is used for this time while a timer asks again.
local REFRESH_SECONDS = 30
local AWAY_SECONDS = 300
local TRIES, TIMEOUT_SECONDS = 3, 0.8
local PACKET_BYTES = 4096

local known, unknown = lrucache.new(4096), lrucache.new(4096)
local first_server = 0
local tokens, refilled = nil, 0

--- Queries of this worker since its start.
M.queries = 0

local function exchange(server, name)
  local socket = ngx.socket.udp()
  socket:settimeout(TIMEOUT_SECONDS * 1000)
  if not socket:setpeername(server[1], server[2]) then return nil, "unreachable" end
  local question = message.question(keys.random16(), name)
  M.queries = M.queries + 1
  local deadline = ngx.now() + TIMEOUT_SECONDS
  if not socket:send(question) then return nil, "unreachable" end
  while true do
    local left = deadline - ngx.now()
    if left <= 0 then break end
    socket:settimeout(math.max(1, left * 1000))
    local data = socket:receive(PACKET_BYTES)
    if not data then break end
    if message.answers(data, question) then
      socket:close()
      return message.addresses(data, question)
    end
  end
  socket:close()
  return nil, "timeout"
end

local function query(name)
  local servers = settings.nameservers
  local reason = "no DNS server is configured"
  for try = 0, #servers > 0 and TRIES - 1 or -1 do
    local at = (first_server + try) % #servers + 1
    local list, ttl = exchange(servers[at], name)
    if list then
      -- Begin with this server the next time: it answers.
      first_server = at - 1
      return list, ttl
    end
    reason = ttl
  end
  log.warn("DNS: no usable answer for " .. name .. " (" .. reason .. ")")
  return nil
end

local function store(name, list, ttl)
  local entry, now = known:get(name), ngx.now()
  if list and #list > 0 then
    local till = now + math.min(math.max(ttl, TTL_MIN_SECONDS), TTL_MAX_SECONDS)
    known:set(name, {list = list, till = till, seen = now})
    unknown:delete(name)
    return list
  end
  if entry and not list then
    entry.till, entry.busy = now + FAILED_SECONDS, nil
    return entry.list, "away"
  end
  if entry and now - entry.seen < AWAY_SECONDS then
    entry.list, entry.till, entry.busy = nil, now + NEGATIVE_SECONDS, nil
    return nil, "away"
  end
  known:delete(name)
  local reason = list and "missing" or "failed"
  unknown:set(name, reason, list and NEGATIVE_SECONDS or FAILED_SECONDS)
  return nil, reason
end

local function ask(name)
  return store(name, query(name))
end

local function refresh(name)
  flight.run("dns " .. name, ask, name)
end

--- Take one query out of the allowance for unknown names.
local function allowed()
  local now, rate = ngx.now(), settings.dns_rate
  tokens = math.min(rate, (tokens or rate) + (now - refilled) * rate)
  refilled = now
  if tokens < 1 then return false end
  tokens = tokens - 1
  return true
end

function M.resolve(name)
  local entry, now = known:get(name), ngx.now()
  if entry then
    if now < entry.till then return entry.list, "away" end
    if entry.list and now < entry.till + REFRESH_SECONDS then
      if not entry.busy then
        entry.busy = log.later(0, refresh, name)
      end
      return entry.list
    end
  else
    local reason = unknown:get(name)
    if reason then return nil, reason end
    if not allowed() then return nil, "busy" end
  end
  return flight.run("dns " .. name, ask, name)
end

return M
