--- Routes: what a raw request URI asks for.
-- In:  the request URI as the client sent it, undecoded.
-- Out: a route, or nil when the URI is not in the URL space. Nothing in that space needs a percent
--      sign, so encoded slashes, dots and NUL never match; neither do `..` and double slashes.
-- A route has: ns, name, stream ("<ns>/<name>"), token ("" for a public URL), kind, counted (the kind
-- in metrics), path (below the stream, without a token; for the origin), key (of single flight).
local bit = require "bit"
local settings = require "settings"

local M = {}

local NAMESPACE_MAX, NAME_MAX = 63, 40
--- Routes are remembered: all viewers of a stream ask for the same few URIs.
local REMEMBERED = 4000

local recent, former, count = {}, {}, 0

local function is_label(text, max)
  return #text <= max and text:find("^[a-z0-9][a-z0-9-]*$") and not text:find("-$")
end

--- A number as the origin writes it: one spelling, so one cache entry.
local function is_number(text)
  return #text <= 10 and (text == "0" or text:find("^[1-9]%d*$") ~= nil)
end

local FIXED = {
  [""] = {"page", "page"},
  ["info.json"] = {"text", "page"},
  ["index.m3u8"] = {"text", "playlist"},
  ["index.mpd"] = {"text", "playlist"},
  ["mpegts.m3u8"] = {"text", "playlist"},
  ["screenshot.jpg"] = {"picture", "screenshot"},
  ["time"] = {"time", "page"},
}

--- Return kind, counted kind and the numbers of a path below a session.
local function in_session(track, file)
  if not track then
    local name = file:match("^([a-z0-9][a-z0-9-]*)%.m3u8$")
    if name and #name <= 32 then return "text", "playlist" end
    return nil
  end
  if #track > 32 or not track:find("^[a-z0-9][a-z0-9-]*$") then return nil end
  if track == "ts" then
    local number = file:match("^(%d+)%.ts$")
    if number and is_number(number) then return "object", "segment" end
    return nil
  end
  local first, second = file:match("^(%d+)%.(%d+)%.m4s$")
  if first then
    if is_number(first) and is_number(second) then return "part", "part" end
    return nil
  end
  first = file:match("^(%d+)%.m4s$")
  if first and is_number(first) then return "segment", "segment" end
  first = file:match("^init%.(%d+)%.mp4$")
  if first and is_number(first) then return "object", "init" end
  return nil
end

local function kind_of(rest)
  local fixed = FIXED[rest]
  if fixed then return fixed[1], fixed[2] end
  local session, tail = rest:match("^(%x+)/(.+)$")
  if not session or #session ~= 16 or session:find("%u") then return nil end
  local track, file = tail:match("^([^/]+)/([^/]+)$")
  if track then return in_session(track, file) end
  if tail:find("/", 1, true) then return nil end
  return in_session(nil, tail)
end

--- Return the canonical query for the origin, or nil and true for a malformed one. Unknown
-- parameters are dropped: they must not make another flight or another cache entry.
local function query(arguments, rest)
  local msn, part, skip, duration
  for name, value in arguments:gmatch("([^&=]+)=([^&]*)") do
    if name == "_HLS_msn" then msn = value
    elseif name == "_HLS_part" then part = value
    elseif name == "_HLS_skip" then skip = value
    elseif name == "get_duration_sec" then duration = value
    end
  end
  local parts = {}
  if msn or part then
    -- RFC 8216bis, 6.2.5.2: a part without a segment is a bad request.
    if not msn or not is_number(msn) or part and not is_number(part) then return nil, true end
    parts[1] = "_HLS_msn=" .. msn
    if part then parts[2] = "_HLS_part=" .. part end
  end
  if skip == "YES" or skip == "v2" then parts[#parts + 1] = "_HLS_skip=" .. skip end
  if duration == "true" and rest:find("mpegts.m3u8", 1, true) then
    parts[#parts + 1] = "get_duration_sec=true"
  end
  return #parts > 0 and "?" .. table.concat(parts, "&") or ""
end

local function parse(uri)
  if #uri > 1024 or uri:find("[^%w%-._~/?=&%%+,:;@!$'()*]") then return nil end
  local path, arguments = uri:match("^([^?]*)%??(.*)$")
  local token = ""
  if path:sub(1, 2) == "/~" then
    local expiry, mac
    expiry, mac, path = path:match("^/~(%d+)~(%x+)(/.*)$")
    if not expiry or #expiry > 12 or #mac ~= 64 or mac:find("%u") then return {kind = "denied"} end
    token = expiry .. "~" .. mac
  end
  local ns, name, rest = path:match("^/([^/]+)/([^/]+)/?(.*)$")
  if not ns or not is_label(ns, NAMESPACE_MAX) or not is_label(name, NAME_MAX)
    or not name:find("^%l") then
    return nil
  end
  local stream = ns .. "/" .. name
  local route = {
    ns = ns, name = name, stream = stream, token = token,
    expiry = tonumber(token:match("^%d+")),
    host = name .. "-play." .. ns .. ".svc." .. settings.domain .. ".",
  }
  if rest == "" and path:sub(-1) ~= "/" then
    route.kind, route.counted = "redirect", "page"
    route.path = name .. "/" .. (arguments ~= "" and "?" .. arguments or "")
    return route
  end
  -- Two slashes at the end leave one in `rest`, which no known path begins with.
  if path ~= "/" .. stream .. "/" .. rest then return nil end
  local kind, counted = kind_of(rest)
  if not kind then return nil end
  route.kind, route.counted, route.path = kind, counted, rest
  if rest:sub(-5) == ".m3u8" and arguments ~= "" then
    local canonical, malformed = query(arguments, rest)
    if malformed then route.kind = "malformed" else route.path = rest .. canonical end
  end
  route.key = stream .. "/" .. route.path
  route.spread = bit.tobit(ngx.crc32_short(stream .. "/" .. rest)) % 65536
  route.number = rest:match("/(%d+)%.m4s$")
  route.extension = rest:match("%.(%w+)$")
  return route
end

--- Return the route of a raw request URI, or nil.
function M.find(uri)
  local route = recent[uri]
  if route then return route end
  route = former[uri] or parse(uri)
  if not route then return nil end
  if count >= REMEMBERED then recent, former, count = {}, recent, 0 end
  recent[uri] = route
  count = count + 1
  return route
end

return M
