--- A small HTTP/1.1 client over kept connections, for answers that have a Content-Length.
-- In:  address, port, path and the value of Authorization.
-- Out: {status, headers (lower-case names), body}, or nil and a reason: "connect", "timeout",
--      "closed", "malformed".
local M = {}

local CONNECT_MS, SEND_MS, READ_MS = 500, 1000, 1500
local IDLE_MS, POOL = 30000, 256
local BODY_MAX_BYTES = 64 * 1048576

local function exchange(socket, path, bearer)
  local sent, failure = socket:send("GET " .. path .. " HTTP/1.1\r\nHost: play\r\nAuthorization: "
    .. (bearer or "") .. "\r\n\r\n")
  if not sent then return nil, failure end
  local read = socket:receiveuntil("\r\n\r\n")
  local head
  head, failure = read()
  if not head then return nil, failure end
  local status = tonumber(head:match("^HTTP/1%.1 (%d%d%d)"))
  local headers = {}
  for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
    headers[name:lower()] = value
  end
  -- 204 has no body and no length (RFC 9110, 8.6).
  local length = tonumber(headers["content-length"]) or (status == 204 and 0)
  if not status or not length or length > BODY_MAX_BYTES then return nil, "malformed" end
  local body = ""
  if length > 0 then
    body, failure = socket:receive(length)
    if not body then return nil, failure end
  end
  return {status = status, headers = headers, body = body}
end

function M.get(address, port, path, bearer)
  while true do
    local socket = ngx.socket.tcp()
    socket:settimeouts(CONNECT_MS, SEND_MS, READ_MS)
    if not socket:connect(address, port) then return nil, "connect" end
    local reused = socket:getreusedtimes()
    local answer, failure = exchange(socket, path, bearer)
    if answer then
      if answer.headers.connection == "close" then
        socket:close()
      else
        socket:setkeepalive(IDLE_MS, POOL)
      end
      return answer
    end
    socket:close()
    -- The other side may have closed a kept connection at this moment. Every try of this kind uses
    -- up one kept connection, so the loop ends.
    if failure == "timeout" or failure == "malformed" then return nil, failure end
    if reused == 0 then return nil, "closed" end
  end
end

return M
