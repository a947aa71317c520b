--- Warnings without request lines.
-- In:  short texts from any phase. They must not contain a path or a token.
-- Out: lines in the error log, at most 20 in 10 seconds and worker.
-- nginx adds the request line, which may have a signed token, to every message of a request. A timer
-- has no request, so all messages are written by timers.
local M = {}

local WINDOW_SECONDS, WINDOW_LINES = 10, 20
local window, lines = 0, 0

local function write(_, message)
  ngx.log(ngx.WARN, message)
end

function M.warn(message)
  local now = ngx.now()
  if now - window > WINDOW_SECONDS then window, lines = now, 0 end
  lines = lines + 1
  if lines <= WINDOW_LINES then ngx.timer.at(0, write, message) end
end

return M
