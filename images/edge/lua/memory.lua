--- A store of answers in this worker's memory, bounded by bytes.
-- In:  a key and an answer {body = ...}.
-- Out: the answer, until about the limit in newer bytes has been stored.
-- Two generations: when the newer one has half of the limit, the older one is dropped. Parts are wanted
-- for a few seconds only, so this is as good as an exact order of use.
local M = {}

local Memory = {}
Memory.__index = Memory

function M.new(limit_bytes)
  return setmetatable({half = limit_bytes / 2, bytes = 0, newer = {}, older = {}}, Memory)
end

function Memory:get(key)
  return self.newer[key] or self.older[key]
end

function Memory:set(key, answer)
  if self.bytes + #answer.body > self.half then
    self.older, self.newer, self.bytes = self.newer, {}, 0
  end
  self.newer[key] = answer
  self.bytes = self.bytes + #answer.body
end

return M
