--- Warnings without request lines, and timers whose errors are logged.
-- In:  short texts from any phase. They must not contain a path or a token.
-- Out: lines in the process's error log, at most 20 in 10 seconds and worker.
-- nginx adds the request line, which may have a signed token, to every message of a request, and its
-- timers inherit the log of their request. So the log of the process is used directly.
local errlog = require "ngx.errlog"
local ffi = require "ffi"

local M = {}

local WINDOW_SECONDS, WINDOW_LINES = 10, 20
local window, lines = 0, 0

assert(errlog.raw_log, "lua-resty-core declares the function used below")

function M.warn(message)
  local now = ngx.now()
  if now - window > WINDOW_SECONDS then window, lines = now, 0 end
  lines = lines + 1
  if lines > WINDOW_LINES then return end
  -- Without a request, the module uses the log of the process.
  ffi.C.ngx_http_lua_ffi_raw_log(nil, ngx.WARN, message, #message)
end

local function run(_, work, ...)
  local ok, message = pcall(work, ...)
  if not ok then M.warn("a timer failed: " .. tostring(message)) end
end

--- Call a function after some seconds; return true when the timer is set.
function M.later(seconds, work, ...)
  return (ngx.timer.at(seconds, run, work, ...))
end

return M
