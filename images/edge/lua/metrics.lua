--- Counters, and the page for Prometheus.
-- In:  counts of this worker.
-- Out: `page()`: the text format, over all workers.
-- A worker adds its counts to shared memory once a second, only while there are any. The series of a
-- stream end some time after its last request (5 minutes), and a limit bounds the number of streams.
local log = require "log"
local settings = require "settings"

local M = {}

local FLUSH_SECONDS = 1
local KINDS = {"playlist", "part", "segment", "init", "page", "screenshot"}
local OTHER = "/"

local counts, streams = ngx.shared.edge_counts, ngx.shared.edge_streams
local by_stream, global, armed = {}, {}, false
local gauges = {}

--- Register a function that returns the present value of a metric of this worker.
function M.gauge(name, value)
  gauges[name] = value
end

--- Return the stream under which counts are kept; OTHER when too many streams have series.
local function admitted(stream)
  if streams:get(stream) or #streams:get_keys(settings.metric_streams) < settings.metric_streams then
    streams:set(stream, true, settings.metric_seconds)
    return stream
  end
  return OTHER
end

local function add(key, value, seconds)
  counts:incr(key, value, 0)
  if seconds then counts:expire(key, seconds) end
end

local function set_gauges()
  for name, value in pairs(gauges) do counts:set("w " .. name .. " " .. ngx.worker.id(), value()) end
end

local function flush()
  armed = false
  local seen, totals = by_stream, global
  by_stream, global = {}, {}
  for stream, kinds in pairs(seen) do
    local name = admitted(stream)
    for _, kind in ipairs(KINDS) do
      local values = kinds[kind]
      if values then
        add("r " .. name .. " " .. kind, values[1], settings.metric_seconds)
        add("b " .. name .. " " .. kind, values[2], settings.metric_seconds)
      else
        counts:expire("r " .. name .. " " .. kind, settings.metric_seconds)
        counts:expire("b " .. name .. " " .. kind, settings.metric_seconds)
      end
    end
  end
  for key, value in pairs(totals) do add("g " .. key, value) end
  set_gauges()
end

local function arm()
  if not armed then armed = log.later(FLUSH_SECONDS, flush) end
end

--- Publish the gauges again soon.
function M.changed()
  arm()
end

--- Count one answer of a stream.
function M.answer(stream, kind, bytes)
  local kinds = by_stream[stream]
  if not kinds then
    kinds = {}
    by_stream[stream] = kinds
    arm()
  end
  local values = kinds[kind]
  if values then
    values[1], values[2] = values[1] + 1, values[2] + bytes
  else
    kinds[kind] = {1, bytes}
  end
end

local function count(key)
  global[key] = (global[key] or 0) + 1
  arm()
end

--- Count how an answer was made: "hit", "shared" or "miss".
function M.cache(result)
  count("cache " .. result)
end

function M.origin_request()
  count("origin")
end

function M.origin_error(reason)
  count("error " .. reason)
end

function M.refused(status)
  count("refused " .. status)
end

local function series(lines, name, kind, help)
  lines[#lines + 1] = "# HELP " .. name .. " " .. help
  lines[#lines + 1] = "# TYPE " .. name .. " " .. kind
end

local function labels(stream)
  local ns, name = stream:match("^([^/]*)/(.*)$")
  return 'namespace="' .. ns .. '",stream="' .. name .. '"'
end

local function per_stream(lines, keys, letter, name, help)
  series(lines, name, "counter", help)
  for _, key in ipairs(keys) do
    local stream, kind = key:match("^" .. letter .. " (%S+) (%a+)$")
    local value = stream and counts:get(key)
    if value then
      lines[#lines + 1] = ("%s{%s,kind=\"%s\"} %.0f"):format(name, labels(stream), kind, value)
    end
  end
end

local function per_label(lines, keys, word, name, label, help)
  series(lines, name, "counter", help)
  for _, key in ipairs(keys) do
    local value = key:match("^g " .. word .. " (.+)$")
    if value then
      lines[#lines + 1] = ("%s{%s=\"%s\"} %.0f"):format(name, label, value, counts:get(key) or 0)
    end
  end
end

local function sum_of_workers(lines, keys, word, name, kind, help)
  local sum = 0
  for _, key in ipairs(keys) do
    if key:find("^w " .. word .. " ") then sum = sum + (counts:get(key) or 0) end
  end
  series(lines, name, kind, help)
  lines[#lines + 1] = ("%s %.0f"):format(name, sum)
end

--- Return the page. `viewers`: stream → number.
function M.page(viewers)
  -- The gauges of this worker are exact; those of the others are as old as their last flush.
  set_gauges()
  local lines, keys = {}, counts:get_keys(0)
  table.sort(keys)
  per_stream(lines, keys, "r", "sluice_edge_requests_total",
    "Answers to viewers of a stream, by kind. Ends some minutes after the last request. Empty labels: "
      .. "streams beyond the limit of series.")
  per_stream(lines, keys, "b", "sluice_edge_bytes_total",
    "Bytes of the bodies sent to viewers of a stream, by kind.")
  series(lines, "sluice_edge_viewers", "gauge",
    "Viewers now: distinct client addresses and User-Agents with a request for a playlist, part, "
      .. "segment or init segment in the last 10 seconds (to 3 s exact).")
  local names = {}
  for stream in pairs(viewers) do names[#names + 1] = stream end
  table.sort(names)
  for at = 1, math.min(#names, settings.metric_streams) do
    lines[#lines + 1] = ("sluice_edge_viewers{%s} %d"):format(labels(names[at]), viewers[names[at]])
  end
  per_label(lines, keys, "cache", "sluice_edge_cache_total", "result",
    "Answers of playlists and media: hit (from a cache), shared (waited for the request of another "
      .. "viewer), miss (asked a play pod).")
  series(lines, "sluice_edge_origin_requests_total", "counter", "Requests to play pods.")
  lines[#lines + 1] = ("sluice_edge_origin_requests_total %.0f"):format(counts:get("g origin") or 0)
  per_label(lines, keys, "error", "sluice_edge_origin_errors_total", "reason",
    "Failed requests to play pods, by reason.")
  per_label(lines, keys, "refused", "sluice_edge_refused_total", "status",
    "Requests refused by the edge without a stream's counters, by status.")
  sum_of_workers(lines, keys, "dns", "sluice_edge_dns_queries_total", "counter",
    "DNS queries for the addresses of play pods.")
  sum_of_workers(lines, keys, "waiting", "sluice_edge_waiting_requests", "gauge",
    "Requests that wait for the answer of another request now.")
  sum_of_workers(lines, keys, "bad", "sluice_edge_bad_peers", "gauge",
    "Play pods that got no requests from a worker because they failed, summed over the workers.")
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

return M
