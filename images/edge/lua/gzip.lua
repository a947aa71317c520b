--- gzip (RFC 1952) of one text, by zlib.
-- In:  a string; or the value of Accept-Encoding.
-- Out: the compressed string; or whether a client takes gzip (RFC 9110, 12.5.3).
-- A playlist is compressed once for all viewers that wait for it. nginx's gzip filter would compress
-- it again for each of them.
local ffi = require "ffi"

ffi.cdef [[
typedef struct {
  const unsigned char *next_in; unsigned int avail_in; unsigned long total_in;
  unsigned char *next_out; unsigned int avail_out; unsigned long total_out;
  const char *msg; void *state;
  void *zalloc; void *zfree; void *opaque;
  int data_type; unsigned long adler; unsigned long reserved;
} sluice_z_stream;
int deflateInit2_(sluice_z_stream *s, int level, int method, int window_bits, int mem_level,
                  int strategy, const char *version, int stream_size);
int deflateReset(sluice_z_stream *s);
int deflate(sluice_z_stream *s, int flush);
unsigned long deflateBound(sluice_z_stream *s, unsigned long length);
const char *zlibVersion(void);
]]

local M = {}

local LEVEL, DEFLATED, GZIP_WINDOW, MEMORY, DEFAULT = 5, 8, 31, 8, 0
local FINISH, STREAM_END = 4, 1
--- Shorter texts are sent as they are.
local SHORTEST_BYTES = 256
local REMEMBERED = 500

local stream
local output, capacity = nil, 0
local accepted, remembered = {}, 0

local function ready()
  if stream then return ffi.C.deflateReset(stream) == 0 end
  local made = ffi.new("sluice_z_stream")
  local code = ffi.C.deflateInit2_(made, LEVEL, DEFLATED, GZIP_WINDOW, MEMORY, DEFAULT,
    ffi.C.zlibVersion(), ffi.sizeof(made))
  if code ~= 0 then return false end
  stream = made
  return true
end

--- Return the compressed text, or nil when it is not worth it.
function M.compress(text)
  if #text < SHORTEST_BYTES or not ready() then return nil end
  local bound = tonumber(ffi.C.deflateBound(stream, #text))
  if bound > capacity then output, capacity = ffi.new("unsigned char[?]", bound), bound end
  stream.next_in, stream.avail_in = ffi.cast("const unsigned char *", text), #text
  stream.next_out, stream.avail_out = output, capacity
  if ffi.C.deflate(stream, FINISH) ~= STREAM_END then return nil end
  return ffi.string(output, capacity - stream.avail_out)
end

local function negotiate(header)
  local star, gzip
  for item in header:lower():gmatch("[^,]+") do
    local coding, parameters = item:match("^%s*([%w*-]+)%s*(.-)%s*$")
    local weight = parameters and tonumber(parameters:match("^;%s*q%s*=%s*([%d.]+)")) or 1
    if coding == "gzip" or coding == "x-gzip" then gzip = weight > 0 end
    if coding == "*" then star = weight > 0 end
  end
  if gzip == nil then return star or false end
  return gzip
end

--- True when a client with this Accept-Encoding takes gzip.
function M.accepted(header)
  if not header then return false end
  local answer = accepted[header]
  if answer == nil then
    if remembered >= REMEMBERED then accepted, remembered = {}, 0 end
    answer = negotiate(header)
    accepted[header], remembered = answer, remembered + 1
  end
  return answer
end

return M
