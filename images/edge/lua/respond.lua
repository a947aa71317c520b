--- Answers to viewers.
-- In:  an answer of an origin {status, headers, body}, or a status of the edge itself.
-- Out: the response of the present request, and its number of body bytes.
local gzip = require "gzip"
local range = require "range"

local M = {}

local IMMUTABLE = "public, max-age=31536000, immutable"
local TYPES = {
  m3u8 = "application/vnd.apple.mpegurl", mpd = "application/dash+xml", json = "application/json",
  m4s = "video/mp4", mp4 = "video/mp4", ts = "video/mp2t", jpg = "image/jpeg",
}
local SENTENCES = {
  [400] = "This request is not valid for this playlist.",
  [403] = "This link does not give access to this stream.",
  [404] = "There is nothing at this address.",
  [405] = "Only GET, HEAD and OPTIONS are possible here.",
  [410] = "This is over. Load the page again.",
  [413] = "A request must not have a body here.",
  [416] = "The range begins behind the end of the file.",
  [502] = "The play pod does not accept the edge's token.",
  [503] = "No play pod of this stream answers. Try again in a few seconds.",
}
local EXPIRED = "This link has expired. Ask for a new one."
local NO_BODY = {["HEAD"] = true}

M.IMMUTABLE = IMMUTABLE

local function send(body)
  local header = ngx.header
  header["Content-Length"] = #body
  if NO_BODY[ngx.req.get_method()] then
    ngx.send_headers()
    return 0
  end
  ngx.print(body)
  return #body
end

--- Send one plain sentence.
function M.sentence(status, text)
  ngx.status = status
  local header = ngx.header
  header["Content-Type"] = "text/plain; charset=utf-8"
  header["Cache-Control"] = "no-store"
  if status == 405 then header["Allow"] = "GET, HEAD, OPTIONS" end
  if status == 503 then header["Retry-After"] = 1 end
  return send((text or SENTENCES[status] or "The answer has the status " .. status .. ".") .. "\n")
end

function M.expired()
  return M.sentence(410, EXPIRED)
end

--- Answer a CORS preflight (Fetch standard, 4.8).
function M.preflight()
  ngx.status = 204
  local header = ngx.header
  header["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS"
  header["Access-Control-Allow-Headers"] = "Range, If-None-Match, Cache-Control"
  header["Access-Control-Max-Age"] = 86400
  ngx.send_headers()
end

function M.content_type(route, answer)
  return answer and answer.headers["content-type"] or TYPES[route.extension]
end

--- Send a text that changes, with gzip for clients that take it. It is compressed once.
function M.text(route, answer)
  local header, body = ngx.header, answer.body
  header["Content-Type"] = M.content_type(route, answer)
  header["Cache-Control"] = answer.headers["cache-control"] or "no-store"
  header["Vary"] = "Accept-Encoding"
  if gzip.accepted(ngx.var.http_accept_encoding) then
    if answer.gzip == nil then answer.gzip = gzip.compress(body) or false end
    if answer.gzip then
      header["Content-Encoding"] = "gzip"
      body = answer.gzip
    end
  end
  return send(body)
end

--- Return the entity tag of something immutable. Its path is as unique as its bytes, and is the same
-- at every play pod and edge.
function M.tag(route)
  return '"' .. route.path:gsub("/", "-") .. '"'
end

--- True, with the answer sent, when the client has this version already (RFC 9110, 13.1.2).
function M.unchanged(tag, cache_control)
  local known = ngx.var.http_if_none_match
  if not known or not (known == "*" or known:find(tag, 1, true)) then return false end
  ngx.status = 304
  ngx.header["ETag"] = tag
  ngx.header["Cache-Control"] = cache_control
  ngx.send_headers()
  return true
end

--- Send an immutable body, or a range of it.
function M.part(route, answer)
  local header, body, tag = ngx.header, answer.body, M.tag(route)
  header["Content-Type"] = M.content_type(route, answer)
  header["Cache-Control"] = IMMUTABLE
  header["ETag"] = tag
  header["Accept-Ranges"] = "bytes"
  local wanted = ngx.var.http_range
  if wanted then
    local condition = ngx.var.http_if_range
    if condition and condition ~= tag then wanted = nil end
    local first, last = range.parse(wanted, #body)
    if first == "beyond" then
      header["Content-Range"] = "bytes */" .. #body
      header["ETag"] = nil
      return M.sentence(416)
    end
    if first ~= "whole" then
      ngx.status = 206
      header["Content-Range"] = ("bytes %d-%d/%d"):format(first, last, #body)
      body = body:sub(first + 1, last + 1)
    end
  end
  return send(body)
end

--- Send a picture. Its tag is that of the origin.
function M.picture(route, answer)
  local header, tag = ngx.header, answer.headers.etag
  local cache_control = answer.headers["cache-control"] or "no-store"
  if tag and M.unchanged(tag, cache_control) then return 0 end
  header["Content-Type"] = M.content_type(route, answer)
  header["Cache-Control"] = cache_control
  header["ETag"] = tag
  header["Last-Modified"] = answer.headers["last-modified"]
  header["Age"] = answer.headers.age
  return send(answer.body)
end

return M
