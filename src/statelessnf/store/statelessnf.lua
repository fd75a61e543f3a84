#!lua name=statelessnf
-- The store services of StatelessNF: timers, and flows whose life a timer ends, with a counter.
-- A function runs alone and its effects reach replicas together, but it does not roll back: so arguments and stored
-- bytes are checked before the first write. Only a key of another type, which a stranger must have put there, leaves a
-- call half done; its error reply is WRONGTYPE.
--
-- All keys of a call share one hash tag. For each virtual shard and service:
--   timers    sorted set: id -> when it fires next, ms of the store's clock; of a claimed one the end of its lease
--   entries   hash: id -> token (8 bytes); for a flow's timer also length (1) and name of its counter, partner key
--   counters  hash: name -> number, never 0
-- A timer's id is the key of its record. Tokens are made by callers, never twice the same: each change sets a new one,
-- so who has an old one is refused, and a request that is repeated because its reply was lost is recognised.
-- A record is schema (1), nonce (8), deadline (8, little endian, ms), fields: engine/record.hpp.
-- Numbers are decimal text. In replies nil stands for no record. An error reply SNF means that nothing was done.
--
--   FCALL snf_timer_create 2 timers entries  id due token                   1 created, 0 there is one
--   FCALL snf_timer_update 2 timers entries  id due old-token token         1 moved, 0 old-token does not stand
--   FCALL snf_timer_end    2 timers entries  id token                       1 gone, 0 token does not stand, or a flow's
--   FCALL snf_timer_claim  2 timers entries  limit lease token              [id, partner or "", id, partner or "", ...]
--   FCALL snf_create  4|5 timers entries counters key [partner]  value expire-at token counter
--          [1] created, [2] created where a record had vanished from under its timer, [0, value, partner's value] taken
--   FCALL snf_expire  4|5 timers entries counters key [partner]  token old
--          [1] ended, [0] not this token's or pair's, [2, value] deadline moved on: armed again, [3, value] not `old`
--   FCALL snf_pair_set 2 key partner  old new expire-at                     [1 or 0, value, value of partner]
--   FCALL snf_pair_put|snf_pair_make 2|3 key partner [former partner]  kind old new expire-at now
--   FCALL snf_flow_put|snf_flow_make 4|5|6 timers entries counters key [partner [former partner]]
--                                                                      kind old new expire-at now token counter
--          [1] written, [0, value] the key does not hold `old`, [2] the partner is somebody else's, [3] pair is broken
--          same: key and partner hold `old`, else 0 or 3; both become `new`.
--          anew: the key holds `old` (empty: nothing), else 0; the partner holds nothing, `old` or a record whose
--            deadline is before `now`, else 2; both become `new`. A former partner that still holds `old` is deleted.
--          With timers the same call makes the flow's timer and entry and counts it; where there is an entry, its token
--            stays, counter and partner become the new ones, and the timer fires at the new deadline if not before. The
--            key is the one that the flow was created with, whichever of the two a packet came with.
--          put changes and goes on in a full store, make creates and does not.
--   FCALL_RO snf_version 0                                                  VERSION
-- A newer version keeps the meaning of every function that an older one had; a changed meaning gets a new name.

local VERSION = 2
local SCHEMA = 1
local LATEST = 2 ^ 53 -- ms; Lua's numbers and the scores of sorted sets are exact up to here
local MOST = 1000 -- timers for one claim; bounded by Lua's stack

local function now()
  local time = server.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function whole(text, least, most)
  local number = string.find(text or '', '^%d+$') and tonumber(text)
  return number and number >= least and number <= most and number or nil
end

local function refuse(what)
  return server.error_reply('SNF ' .. what)
end

local function deadline(value)
  if #value < 17 or value:byte(1) ~= SCHEMA then return nil end
  local at = struct.unpack('<I8', value, 10)
  return at <= LATEST and at or nil
end

-- What stands behind the token: empty for a plain timer, else (length, counter, partner); nil if it is none of ours.
local function tail(entry)
  if #entry < 8 or (#entry > 8 and #entry < 9 + entry:byte(9)) then return nil end
  return entry:sub(9)
end

local function counter_of(tail_)
  return tail_:sub(2, 1 + (tail_:byte(1) or 0))
end

local function partner_of(tail_)
  return tail_:sub(2 + (tail_:byte(1) or 0))
end

local function adjust(counters, name, by)
  if name ~= '' and server.call('HINCRBY', counters, name, by) == 0 then server.call('HDEL', counters, name) end
end

-- The entry of `id`, nil if there is none of ours.
local function entry_of(keys, id)
  local entry = server.call('HGET', keys[2], id)
  return entry and tail(entry) and entry or nil
end

local function timer_set(keys, id, due_text, old, token)
  local due = whole(due_text, 0, LATEST)
  if not due or #(token or '') ~= 8 or old == token then return refuse('no due time or no new token') end
  local entry = entry_of(keys, id)
  local standing = entry and entry:sub(1, 8) or ''
  if standing == token then return 1 end
  if standing ~= old then return 0 end
  server.call('ZADD', keys[1], due, id)
  server.call('HSET', keys[2], id, token .. (entry and entry:sub(9) or ''))
  return 1
end

local function timer_create(keys, args)
  return timer_set(keys, args[1], args[2], '', args[3])
end

local function timer_update(keys, args)
  if #(args[3] or '') ~= 8 then return refuse('no old token') end
  return timer_set(keys, args[1], args[2], args[3], args[4])
end

local function timer_end(keys, args)
  if entry_of(keys, args[1]) ~= args[2] then return 0 end
  server.call('ZREM', keys[1], args[1])
  server.call('HDEL', keys[2], args[1])
  return 1
end

local function timer_claim(keys, args)
  local limit, lease, token = whole(args[1], 1, MOST), whole(args[2], 1, LATEST), args[3] or ''
  if not limit or not lease or #token ~= 8 then return refuse('no limit, no lease or no token') end
  local time = now()
  local ids = server.call('ZRANGE', keys[1], '-inf', time, 'BYSCORE', 'LIMIT', 0, limit)
  if #ids == 0 then return ids end
  local entries = server.call('HMGET', keys[2], unpack(ids))
  local scores, tokens, claimed = {}, {}, {}
  for i, id in ipairs(ids) do
    local rest = tail(entries[i] or '') or ''
    scores[2 * i - 1], scores[2 * i] = time + lease, id
    tokens[2 * i - 1], tokens[2 * i] = id, token .. rest
    claimed[2 * i - 1], claimed[2 * i] = id, partner_of(rest)
  end
  server.call('ZADD', keys[1], unpack(scores))
  server.call('HSET', keys[2], unpack(tokens))
  return claimed
end

-- Sets the record, and its partner if it has one; the condition is NX, XX or none. 1 or 0.
local function set(key, partner, value, expire_at, ...)
  if partner then return server.call('MSETEX', 2, key, value, partner, value, 'PXAT', expire_at, ...) end
  return server.call('MSETEX', 1, key, value, 'PXAT', expire_at, ...)
end

-- What an earlier flow, whose record has vanished, left under the same id.
local function settle(keys, id)
  local entry = entry_of(keys, id)
  if entry then adjust(keys[3], counter_of(tail(entry)), -1) end
end

local function create(keys, args)
  local value, expire_at, token, counter = args[1] or '', whole(args[2], 1, LATEST), args[3] or '', args[4] or ''
  local due, key, partner = deadline(value), keys[4], keys[5]
  if not due or not expire_at or expire_at < due then return refuse('no record, or it vanishes before its deadline') end
  if #token ~= 8 or #counter > 255 then return refuse('no token, or a counter of more than 255 bytes') end
  if set(key, partner, value, expire_at, 'NX') == 0 then
    return { 0, server.call('GET', key), partner and server.call('GET', partner) }
  end
  local entry = token .. string.char(#counter) .. counter .. (partner or '')
  server.call('ZADD', keys[1], due, key)
  local anew = server.call('HSETNX', keys[2], key, entry) == 0
  if anew then
    settle(keys, key)
    server.call('HSET', keys[2], key, entry)
  end
  adjust(keys[3], counter, 1)
  return { anew and 2 or 1 }
end

local function finish(keys, counter, value, other)
  server.call('ZREM', keys[1], keys[4])
  server.call('HDEL', keys[2], keys[4])
  adjust(keys[3], counter, -1)
  if value then server.call('DEL', keys[4]) end
  if value and other == value then server.call('DEL', keys[5]) end -- of another value, it is somebody else's by now
  return { 1 }
end

local function expire(keys, args)
  local token, old = args[1] or '', args[2] or ''
  local entry = entry_of(keys, keys[4])
  if not entry or #entry == 8 or (token ~= '' and token ~= entry:sub(1, 8)) then return { 0 } end
  local rest = tail(entry)
  if partner_of(rest) ~= (keys[5] or '') then return { 0 } end
  local value, other = unpack(server.call('MGET', unpack(keys, 4)))
  local due = value and deadline(value)
  if value and not due then return refuse('a record of another schema') end
  if due and due > now() then
    server.call('ZADD', keys[1], due, keys[4])
    return { 2, value }
  end
  if (value or '') ~= old then return { 3, value } end
  return finish(keys, counter_of(rest), value, other)
end

local function pair_set(keys, args)
  local old, new, expire_at = args[1] or '', args[2] or '', whole(args[3], 1, LATEST)
  if old == '' or new == '' or not expire_at then return refuse('no old value, no new value or no time of expiry') end
  local one, other = unpack(server.call('MGET', keys[1], keys[2]))
  if one ~= old or other ~= old then return { 0, one, other } end
  set(keys[1], keys[2], new, expire_at, 'XX')
  return { 1, unpack(server.call('MGET', keys[1], keys[2])) }
end

-- What both puts are asked for; nil if something of it is wrong. `old` is false where the key must be absent.
local function wanted(key, partner, former, args)
  local kind, old, new = args[1], args[2] or '', args[3] or ''
  local expire_at, time = whole(args[4], 1, LATEST), whole(args[5], 0, LATEST)
  local same = kind == 'same'
  if not key or key == partner or key == former or new == '' or not expire_at or not time then return nil end
  if not same and kind ~= 'anew' or same and (old == '' or former) then return nil end
  old = old ~= '' and old
  return { key = key, partner = partner, former = former, same = same, old = old, new = new, at = expire_at, now = time }
end

-- Why a put must not write, as its reply; nil if it may. GET refuses a key of another type, MGET would call it absent.
local function obstacle(put)
  local value = server.call('GET', put.key)
  if value ~= put.old then return { 0, value } end
  if not put.partner then return nil end
  local other = server.call('GET', put.partner)
  if other == put.old then return nil end
  if put.same then return { 3 } end
  local due = other and deadline(other)
  return other and (not due or due >= put.now) and { 2 } or nil -- of another schema, it is not ours to overwrite
end

local function write(put)
  local former = put.former and put.former ~= put.partner and put.old
  local left = former and server.call('GET', put.former) == former
  set(put.key, put.partner, put.new, put.at)
  if left then server.call('DEL', put.former) end
  return { 1 }
end

-- What nearly all puts of pairs are: kind `same`, both keys hold `old`. Nil: not this, or not so simple.
local function change(keys, args)
  local key, partner, old, new, expire_at = keys[1], keys[2], args[2], args[3], args[4]
  if #keys ~= 2 or key == partner or old == '' or new == '' or not whole(expire_at, 1, LATEST) then return nil end
  local standing = server.call('MGET', key, partner)
  if standing[1] ~= old or standing[2] ~= old then return nil end
  server.call('MSETEX', 2, key, new, partner, new, 'PXAT', expire_at)
  return { 1 }
end

local function pair_put(keys, args)
  local changed = args[1] == 'same' and whole(args[5], 0, LATEST) and change(keys, args)
  if changed then return changed end
  local put = wanted(keys[1], keys[2], keys[3], args)
  if not put or not put.partner then return refuse('no pair, or no such change of one') end
  return obstacle(put) or write(put)
end

-- Entry, timer and counter of a flow that is being written; `entry` is what it had until now.
local function attend(keys, entry, due, token, counter)
  local before = entry and counter_of(tail(entry)) or ''
  local after = (entry and entry:sub(1, 8) or token) .. string.char(#counter) .. counter .. (keys[5] or '')
  if entry then
    server.call('ZADD', keys[1], 'LT', due, keys[4])
  else
    server.call('ZADD', keys[1], due, keys[4])
  end
  if after ~= entry then server.call('HSET', keys[2], keys[4], after) end
  if before ~= counter then
    adjust(keys[3], before, -1)
    adjust(keys[3], counter, 1)
  end
end

local function flow_put(keys, args)
  local put, token, counter = wanted(keys[4], keys[5], keys[6], args), args[6] or '', args[7] or ''
  local due = put and deadline(put.new)
  if not due or put.at < due then return refuse('no such change, no record, or it vanishes before its deadline') end
  if #token ~= 8 or #counter > 255 then return refuse('no token, or a counter of more than 255 bytes') end
  local hindered = obstacle(put)
  if hindered then return hindered end
  local entry = entry_of(keys, put.key)
  local reply = write(put)
  attend(keys, entry, due, token, counter)
  return reply
end

local function version()
  return VERSION
end

-- allow-oom: they free memory or keep its size, and are what a full store needs to become less full.
local function register(name, callback, ...)
  server.register_function({ function_name = 'snf_' .. name, callback = callback, flags = { ... } })
end

register('timer_create', timer_create)
register('timer_update', timer_update, 'allow-oom')
register('timer_end', timer_end, 'allow-oom')
register('timer_claim', timer_claim, 'allow-oom')
register('create', create)
register('expire', expire, 'allow-oom')
register('pair_set', pair_set, 'allow-oom')
register('pair_make', pair_put)
register('pair_put', pair_put, 'allow-oom')
register('flow_make', flow_put)
register('flow_put', flow_put, 'allow-oom')
register('version', version, 'no-writes')
