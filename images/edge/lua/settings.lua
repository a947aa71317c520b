--- Settings of the edge.
-- In:  the environment and /etc/resolv.conf, read once before the workers start.
-- Out: one table of plain values; `read()` fills it.
local M = {}

local RESOLV_CONF = "/etc/resolv.conf"

local function number(name, default)
  local value = tonumber(os.getenv(name) or "") or default
  assert(value > 0, name .. " must be a positive number")
  return value
end

local function text(name, default)
  local value = os.getenv(name)
  return value and value ~= "" and value or default
end

--- Parse "host", "host:port" or "[v6]:port"; return {host, port}.
local function server(value)
  local host, port = value:match("^(%[[%x:]+%]):?(%d*)$")
  if not host then host, port = value:match("^([%w.-]+):?(%d*)$") end
  assert(host, "SLUICE_RESOLVER has no valid address: " .. value)
  return {host, tonumber(port) or 53}
end

local function nameservers()
  local found, listed = {}, os.getenv("SLUICE_RESOLVER")
  if listed and listed ~= "" then
    for value in listed:gmatch("[^,%s]+") do found[#found + 1] = server(value) end
    return found
  end
  local file = io.open(RESOLV_CONF)
  for line in file and file:lines() or function() end do
    local address = line:match("^nameserver%s+([%x.:]+)")
    if address then
      found[#found + 1] = {address:find(":", 1, true) and "[" .. address .. "]" or address, 53}
    end
  end
  if file then file:close() end
  return found
end

function M.read()
  M.domain = text("SLUICE_CLUSTER_DOMAIN", "cluster.local")
  M.key_file = text("SLUICE_EDGE_KEY_FILE", "/etc/sluice/edge/key")
  M.play_port = number("SLUICE_PLAY_PORT", 9300)
  M.nameservers = nameservers()
  M.part_memory_bytes = number("SLUICE_PART_MEMORY_MB", 64) * 1048576
  M.dns_rate = number("SLUICE_DNS_RATE", 50)
  M.metric_seconds = number("SLUICE_METRIC_SECONDS", 300)
  M.metric_streams = number("SLUICE_METRIC_STREAMS", 500)
end

return M
