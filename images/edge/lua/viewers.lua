--- Viewers now, per stream.
-- In:  requests for playlists and media.
-- Out: `count()`: stream → number of distinct clients of the last 10 seconds, over all workers.
-- A client is an address with a User-Agent. A worker writes a client to shared memory at most once in
-- three seconds. Shared memory is bounded: beyond about 100,000 clients the oldest ones are dropped.
-- The play pods request the playlist of their own stream to check that viewers can. They are no viewers.
local M = {}

--- User-Agent of the play pods.
local CHECK = "sluice-check"

local SECONDS, REPEAT_SECONDS = 10, 3
local RECENT_MAX = 50000

local shared = ngx.shared.edge_viewers
local recent, since, count = {}, 0, 0

function M.seen(stream)
  local agent = ngx.var.http_user_agent or ""
  if agent == CHECK then return end
  local client = stream .. " " .. ngx.var.remote_addr .. " " .. agent
  local now = ngx.now()
  if now - since > REPEAT_SECONDS or count > RECENT_MAX then recent, since, count = {}, now, 0 end
  if recent[client] then return end
  recent[client] = true
  count = count + 1
  shared:set(stream .. " " .. ngx.crc32_long(client), true, SECONDS + REPEAT_SECONDS / 2)
end

function M.count()
  local found = {}
  for _, key in ipairs(shared:get_keys(0)) do
    local stream = key:match("^(%S+)")
    found[stream] = (found[stream] or 0) + 1
  end
  return found
end

return M
