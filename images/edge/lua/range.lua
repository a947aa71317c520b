--- Byte ranges (RFC 9110, 14.2) of a body in memory.
-- In:  the Range header and the length of the body.
-- Out: first and last position; or "whole" (no range, several ranges, or malformed: the header is
--      ignored); or "beyond" for a range that begins behind the end.
local M = {}

function M.parse(header, length)
  if not header then return "whole" end
  local first, last = header:match("^bytes=(%d*)%-(%d*)$")
  if not first or first == "" and last == "" then return "whole" end
  if first == "" then
    local suffix = tonumber(last)
    if suffix == 0 then return "beyond" end
    return math.max(0, length - suffix), length - 1
  end
  first, last = tonumber(first), tonumber(last)
  if last and last < first then return "whole" end
  if first >= length then return "beyond" end
  return first, math.min(last or length - 1, length - 1)
end

return M
