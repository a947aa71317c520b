--- The edge's request handlers; nginx.conf calls them.
-- In:  the present request.
-- Out: its answer.
local access = require "access"
local balancer = require "ngx.balancer"
local dns = require "dns"
local flight = require "flight"
local keys = require "keys"
local log = require "log"
local metrics = require "metrics"
local objects = require "objects"
local peers = require "peers"
local respond = require "respond"
local router = require "router"
local settings = require "settings"
local viewers = require "viewers"

local M = {}

--- Statuses of an origin that viewers may see.
local PASSED = {[400] = true, [404] = true, [410] = true}

--- Answer for a reason why no play pod answered.
local function failure(reason)
  if reason == "missing" then
    metrics.refused(404)
    return respond.sentence(404)
  end
  local status = reason == "unauthorized" and 502 or 503
  metrics.refused(status)
  return respond.sentence(status)
end

--- Send an answer that is no success; return its bytes.
local function unsuccessful(answer, reason)
  if not answer then return failure(reason) end
  return respond.sentence(PASSED[answer.status] and answer.status or 503)
end

local function text(route)
  local answer, reason = objects.text(route)
  if answer and answer.status == 200 then return respond.text(route, answer) end
  return unsuccessful(answer, reason)
end

local function picture(route)
  local answer, reason = objects.picture(route)
  if answer and answer.status == 200 then return respond.picture(route, answer) end
  return unsuccessful(answer, reason)
end

local function part(route)
  if respond.unchanged(respond.tag(route), respond.IMMUTABLE) then return 0 end
  local answer, reason = objects.part(route, route.path)
  if answer and answer.status == 200 then return respond.part(route, answer) end
  -- 204: the segment is closed and has fewer parts.
  if answer and answer.status == 204 then return respond.sentence(404) end
  return unsuccessful(answer, reason)
end

local function object(route)
  if respond.unchanged(respond.tag(route), respond.IMMUTABLE) then return 0 end
  local state, answer, reason = objects.object(route)
  if state == "growing" then return M.grow(route) end
  if state ~= "cached" then return unsuccessful(answer, reason) end
  local var = ngx.var
  var.edge_path = "/" .. route.path
  var.edge_stream = route.stream
  -- Only needed when the cache has dropped the segment since.
  local list = dns.resolve(route.host)
  var.edge_peer = list and peers.choose(list, route.spread) or ""
  var.edge_auth = keys.bearer(route.stream) or ""
  return ngx.exec("/_sluice/object")
end

--- Send a growing segment part by part. Its length is unknown, so ranges are ignored. An end before
-- the last part closes the connection, so that the client does not take the segment as complete.
function M.grow(route)
  local base = route.path:match("^(.*)%.m4s$")
  local number, bytes = 0, 0
  while true do
    local answer, reason = objects.part(route, ("%s.%d.m4s"):format(base, number))
    if answer and answer.status == 204 and number > 0 then return bytes end
    if not answer or answer.status ~= 200 then
      if number == 0 then return unsuccessful(answer, reason) end
      metrics.answer(route.stream, route.counted, bytes)
      return ngx.exit(ngx.ERROR)
    end
    if number == 0 then
      ngx.header["Content-Type"] = respond.content_type(route, answer)
      ngx.header["Cache-Control"] = "no-store"
      if ngx.req.get_method() == "HEAD" then
        ngx.send_headers()
        return 0
      end
    end
    if not ngx.print(answer.body) or not ngx.flush(true) then return bytes end
    bytes = bytes + #answer.body
    number = number + 1
  end
end

local function page()
  return ngx.exec("/_sluice/page")
end

local HANDLERS = {
  text = text, picture = picture, part = part, object = object, segment = object, page = page,
}

local function utc()
  ngx.update_time()
  local now = ngx.now()
  ngx.header["Content-Type"] = "text/plain"
  ngx.header["Cache-Control"] = "no-store"
  local body = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(now))
    .. (".%03dZ"):format(math.floor(now * 1000 % 1000))
  ngx.header["Content-Length"] = #body
  if ngx.req.get_method() == "HEAD" then return ngx.send_headers() end
  ngx.print(body)
end

local function refuse(status)
  metrics.refused(status)
  return respond.sentence(status)
end

--- Answer a request for a stream.
local function answer_stream(route)
  local verdict, reason = access.check(route)
  -- The page has no secret. It is shown while the pods are away, and begins by itself.
  if not verdict and not (route.kind == "page" and reason ~= "missing") then return failure(reason) end
  if verdict == "deny" then return refuse(403) end
  if verdict == "expired" then
    metrics.refused(410)
    return respond.expired()
  end
  if route.kind == "malformed" then return refuse(400) end
  local counted = route.counted
  if counted ~= "page" and counted ~= "screenshot" then viewers.seen(route.stream) end
  if route.kind == "page" then ngx.var.edge_stream = route.stream end
  local bytes = HANDLERS[route.kind](route)
  metrics.answer(route.stream, counted, bytes or 0)
end

local function serve()
  local method, var = ngx.req.get_method(), ngx.var
  if method ~= "GET" and method ~= "HEAD" and method ~= "OPTIONS" then return refuse(405) end
  local length = var.http_content_length
  if length and length ~= "0" or var.http_transfer_encoding then return refuse(413) end
  local route = router.find(var.request_uri)
  if not route then return refuse(404) end
  if method == "OPTIONS" then return respond.preflight() end
  local kind = route.kind
  if kind == "denied" then return refuse(403) end
  if kind == "time" then return utc() end
  if kind == "redirect" then
    -- A relative reference: a prefix of an Ingress stays.
    ngx.header["Location"] = route.path
    return respond.sentence(301, "The page is at " .. route.name .. "/.")
  end
  return answer_stream(route)
end

function M.serve()
  -- ngx.exec and ngx.exit end the handler; they pass through pcall.
  local ok, message = pcall(serve)
  if ok then return end
  log.warn("a handler failed: " .. tostring(message))
  if not ngx.headers_sent then return respond.sentence(503) end
  return ngx.exit(ngx.ERROR)
end

--- Use the chosen peer of a request for nginx's cache.
function M.balance()
  local address = ngx.var.edge_peer
  if address == "" then return ngx.exit(502) end
  assert(balancer.set_current_peer(address, settings.play_port))
end

--- Headers of what nginx's cache serves.
function M.object_headers()
  local status, header = ngx.status, ngx.header
  if ngx.is_subrequest then
    header["Sluice-Cache"] = ngx.var.upstream_cache_status
    return
  end
  if status ~= 200 and status ~= 206 and status ~= 304 then return end
  local path = ngx.var.edge_path:sub(2)
  local route = {path = path, extension = path:match("%.(%w+)$")}
  header["ETag"] = respond.tag(route)
  header["Cache-Control"] = respond.IMMUTABLE
  if not header["Content-Type"] then header["Content-Type"] = respond.content_type(route) end
end

function M.object_done()
  local var = ngx.var
  local counted = var.edge_path:find("/init.", 1, true) and "init" or "segment"
  metrics.answer(var.edge_stream, counted, tonumber(var.body_bytes_sent) or 0)
end

function M.page_done()
  metrics.answer(ngx.var.edge_stream, "page", tonumber(ngx.var.body_bytes_sent) or 0)
end

--- A play pod did not answer a request for nginx's cache.
function M.failed()
  if ngx.is_subrequest then
    -- The Lua modules ask the next peer.
    ngx.status = 502
    return ngx.send_headers()
  end
  -- The cache has dropped this segment since it was filled.
  local var = ngx.var
  objects.forget(var.edge_stream .. var.edge_path)
  return refuse(503)
end

function M.ready()
  ngx.status = keys.loaded() and 200 or 503
  ngx.say(keys.loaded() and "ready" or "the edge key is missing")
end

function M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(metrics.page(viewers.count()))
end

function M.init()
  settings.read()
end

function M.init_worker()
  objects.init_worker()
  keys.watch()
  metrics.gauge("waiting", function() return flight.waiting end)
  metrics.gauge("bad", peers.bad_count)
  metrics.gauge("dns", function() return dns.queries end)
end

return M
