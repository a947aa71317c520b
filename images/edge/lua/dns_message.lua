--- DNS messages (RFC 1035): a question for A records, and the answer to it. No I/O.
-- In:  a name and an id, or the bytes of an answer.
-- Out: bytes, or the list of IPv4 addresses with their TTL.
local M = {}

local TYPE_A, CLASS_IN = 1, 1
local NXDOMAIN = 3

--- Return the bytes of a question for the A records of a name.
function M.question(id, name)
  local labels = name:gsub("([^.]+)%.?", function(label) return string.char(#label) .. label end)
  -- Flags: recursion desired. One question.
  return string.char(math.floor(id / 256), id % 256) .. "\1\0\0\1\0\0\0\0\0\0"
    .. labels .. "\0\0" .. string.char(TYPE_A) .. "\0" .. string.char(CLASS_IN)
end

local function u16(data, at)
  local high, low = data:byte(at, at + 1)
  return low and high * 256 + low
end

--- Return the position behind a name, or nil. Compression (RFC 1035 4.1.4) ends a name.
local function skip_name(data, at)
  while true do
    local size = data:byte(at)
    if not size then return nil end
    if size >= 192 then return at + 2 end
    if size >= 64 then return nil end
    if size == 0 then return at + 1 end
    at = at + size + 1
  end
end

--- True for an answer to this question. Another answer is somebody's guess or comes late.
function M.answers(data, question)
  local body = question:sub(13)
  return #data >= #question and data:sub(1, 2) == question:sub(1, 2) and data:byte(3) >= 128
    and u16(data, 5) == 1 and data:sub(13, 12 + #body):lower() == body:lower()
end

--- Return the addresses and their smallest TTL; the list is empty when the name has none.
-- Nil and a reason for an answer that decides nothing. Records of other types (CNAME) are skipped.
-- Of a truncated answer the complete records are used.
function M.addresses(data, question)
  local code = data:byte(4) % 16
  if code == NXDOMAIN then return {}, 0 end
  if code ~= 0 then return nil, "code" end
  local truncated = math.floor(data:byte(3) / 2) % 2 == 1
  local at, found, ttl = #question + 1, {}, nil
  for _ = 1, u16(data, 7) do
    at = skip_name(data, at)
    local size = at and u16(data, at + 8)
    if not size or at + 9 + size > #data then
      if truncated then break end
      return nil, "malformed"
    end
    if u16(data, at) == TYPE_A and u16(data, at + 2) == CLASS_IN and size == 4 then
      found[#found + 1] = table.concat({data:byte(at + 10, at + 13)}, ".")
      local seconds = u16(data, at + 4) * 65536 + u16(data, at + 6)
      ttl = math.min(ttl or seconds, seconds)
    end
    at = at + 10 + size
  end
  if truncated and #found == 0 then return nil, "truncated" end
  table.sort(found)
  return found, ttl or 0
end

return M
