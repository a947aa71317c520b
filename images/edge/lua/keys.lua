--- The edge key, and the bearer token of each stream.
-- In:  the key file, read again every 3 seconds by a timer, so that a new Secret needs no restart.
-- Out: `bearer(stream)`: "Bearer <hex of HMAC-SHA256(key, "<namespace>/<stream>")>", or nil while
--      there is no key.
local ffi = require "ffi"
local log = require "log"
local lrucache = require "resty.lrucache"
local settings = require "settings"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *evp_md, const void *key, int key_len, const unsigned char *d,
                    size_t n, unsigned char *md, unsigned int *md_len);
int RAND_bytes(unsigned char *buf, int num);
]]

local M = {}

local READ_SECONDS = 3
local DIGEST_BYTES = 32

-- nginx is linked with libcrypto, so its functions are in the process already.
local crypto = ffi.C
local digest = ffi.new("unsigned char[?]", DIGEST_BYTES)
local two = ffi.new("unsigned char[2]")
local tokens = lrucache.new(4096)
local key

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function M.hmac(secret, message)
  crypto.HMAC(crypto.EVP_sha256(), secret, #secret, message, #message, digest, nil)
  return hex(ffi.string(digest, DIGEST_BYTES))
end

--- Return an unpredictable number from 0 to 65535.
function M.random16()
  if crypto.RAND_bytes(two, 2) ~= 1 then return math.random(0, 65535) end
  return two[0] * 256 + two[1]
end

function M.load()
  local file = io.open(settings.key_file, "rb")
  local found = file and file:read("*a")
  if file then file:close() end
  found = found and found:match("^%s*(.-)%s*$")
  -- A file that is away for a moment does not take a valid key away.
  if not found or found == "" or found == key then return end
  if key then log.warn("the edge key has changed") end
  key = found
  tokens:flush_all()
end

function M.loaded()
  return key ~= nil
end

function M.watch()
  M.load()
  if not key then log.warn("there is no edge key yet; waiting for its file") end
  assert(ngx.timer.every(READ_SECONDS, function() M.load() end))
end

function M.bearer(stream)
  local token = tokens:get(stream)
  if not token and key then
    token = "Bearer " .. M.hmac(key, stream)
    tokens:set(stream, token)
  end
  return token
end

return M
