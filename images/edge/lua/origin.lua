--- Requests to the play pods of a stream.
-- In:  a route, a path below the stream, and a function that asks one address.
-- Out: the first usable answer of any peer; or nil and a reason (see `dns.lua`), or "unreachable" when
--      no peer is left.
-- A failure of one peer is invisible: the next one is asked. 503 with "Retry-After: 0" means that the
-- object does not exist yet, and is repeated at the same peer.
local dns = require "dns"
local http = require "http"
local keys = require "keys"
local metrics = require "metrics"
local peers = require "peers"
local settings = require "settings"

local M = {}

--- Longest time for an object that does not exist yet.
local HELD_SECONDS = 6
--- Nearly the read timeout of nginx.conf: the clock of a worker moves in steps.
local SILENCE_SECONDS = 1.4

--- Ask one address by cosocket; the body is in the answer.
local function by_socket(address, route, path)
  metrics.origin_request()
  return http.get(address, settings.play_port, "/" .. path, keys.bearer(route.stream))
end

--- Ask nginx's cache for an object, without its body. No address: only what is there already.
local function from_cache(address, route, path)
  local answer = ngx.location.capture("/_sluice/object", {
    method = ngx.HTTP_HEAD,
    vars = {
      edge_path = "/" .. path, edge_stream = route.stream, edge_peer = address,
      edge_auth = keys.bearer(route.stream),
    },
  })
  local headers = {}
  for name, value in pairs(answer.header) do headers[name:lower()] = value end
  return answer.status, headers
end

--- Fill nginx's cache from one address, unless another worker has done it. The answer has no body:
-- that one is on the disk.
function M.into_cache(address, route, path)
  local started = ngx.now()
  local status, headers = from_cache(address, route, path)
  if headers["sluice-cache"] ~= "HIT" then
    metrics.origin_request()
    -- `edge.failed` makes a 502 of a refused connection, a timeout and a lost connection.
    if status == 502 then return nil, "no answer" end
    -- An answer that ended too early has the status 200, but is not stored.
    if status == 200 and from_cache("", route, path) ~= 200 then
      return nil, ngx.now() - started < SILENCE_SECONDS and "truncated" or "timeout"
    end
  end
  return {status = status, headers = headers, body = ""}
end

--- Decide about an answer: "done", "held", or the reason why another peer must be asked, and whether
-- the peer is bad.
local function judge(answer, failure)
  -- A full disk looks like an answer that ends too early, so this alone makes no peer bad. A peer
  -- that is gone fails its next request in another way.
  if not answer then return failure, failure ~= "truncated" end
  local status = answer.status
  if status < 500 and status ~= 401 then return "done" end
  if status == 503 and answer.headers["retry-after"] == "0" then return "held" end
  if status == 503 then return "not ready", true end
  if status == 502 or status == 504 then return "status", true end
  -- 401 and 500: another peer may know better, but this one is alive.
  return status == 401 and "unauthorized" or "status", false
end

function M.fetch(route, path, ask)
  if not keys.loaded() then return nil, "no key" end
  local list, why = dns.resolve(route.host)
  if not list then return nil, why end
  local tried, deadline = {}, ngx.now() + HELD_SECONDS
  local last
  local address = peers.choose(list, route.spread, tried)
  while address do
    local answer, failure = (ask or by_socket)(address, route, path)
    local verdict, is_bad = judge(answer, failure)
    if verdict == "done" then return answer end
    if verdict == "held" then
      last = answer
      -- The rest of the time must suffice for one more answer (0.9 s).
      if ngx.now() > deadline - 0.9 then return answer end
      -- An origin that does not wait itself must not be asked in a tight loop.
      ngx.sleep(0.02)
    else
      metrics.origin_error(verdict)
      if is_bad then peers.failed(address, route.stream, verdict) end
      tried[address] = true
      last = last or answer
      if ngx.now() > deadline then break end
    end
    address = peers.choose(list, route.spread, tried)
  end
  if last and last.status == 401 then return nil, "unauthorized" end
  return nil, "unreachable"
end

return M
