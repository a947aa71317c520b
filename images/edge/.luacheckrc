-- Rules for `luacheck images/edge/lua`: nginx's Lua module is LuaJIT with the global `ngx`.
std = "luajit"
globals = {"ngx"}
max_line_length = 105
