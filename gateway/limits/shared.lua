-- One exchange of one replica about some scopes of one venue: it says what it holds and what came to an end, and may ask
-- for tokens of several scopes, all or nothing. Times are the server's, in milliseconds.
-- KEYS: for each scope a hash and a sorted set. ARGV[1]: gateway.limits.shared.Ask as JSON. Returns Reply as JSON.
--
-- hash:  run, closed, frozen, spent, last, held:<replica>, seen:<replica>, alone:<replica>, share:<replica>, and
--        claim:<replica>, "<number>:<until>:<weight>"
-- zset:  "<number>:<weight>" by the instant at which these tokens come back
local ask = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

-- Heard after its sender gave up, as by a server that hung: he has made other plans, and what he says is true no more.
if ask.said_at_ms > 0 and now - ask.said_at_ms > ask.patience_ms then
  return cjson.encode({ now_ms = now, void = true })
end

local function spend(hash, zset, weight, due)
  if weight > 0 then
    local number = redis.call('HINCRBY', hash, 'last', 1)
    redis.call('ZADD', zset, due, number .. ':' .. weight)
    redis.call('HINCRBY', hash, 'spent', weight)
  end
end

local function read(hash)
  local flat, fields = redis.call('HGETALL', hash), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- A server that was restarted may have forgotten calls: nothing is granted until they have left every window, and with
-- them those that it remembers.
local function recognise(hash, zset, scope)
  if redis.call('HGET', hash, 'run') ~= run then
    redis.call('DEL', zset)
    redis.call('HSET', hash, 'run', run, 'spent', 0, 'closed', now + scope.window_ms + ask.timeout_ms)
  end
end

local function take_back(hash, zset)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', zset, '-inf', now)) do
    redis.call('HINCRBY', hash, 'spent', -tonumber(string.match(member, ':(%d+)$')))
  end
  redis.call('ZREMRANGEBYSCORE', zset, '-inf', now)
end

local function forget(hash, replica)
  redis.call('HDEL', hash, 'held:' .. replica, 'seen:' .. replica, 'alone:' .. replica)
  redis.call('HDEL', hash, 'share:' .. replica, 'claim:' .. replica)
end

-- What all replicas hold. One that fell silent may be gone: what it held comes back a call's timeout and a window later.
-- Or only its way to this server is gone, and it lives on its fallback share, as one does that says it is alone: that is
-- left to it.
local function others(hash, zset, scope)
  local held, left, fields = 0, 0, read(hash)
  for field, value in pairs(fields) do
    local replica = string.match(field, '^seen:(.*)$')
    if replica and replica ~= ask.replica then
      local holds = tonumber(fields['held:' .. replica] or '0')
      local silent = now - tonumber(value)
      if silent > ask.lease_ms then
        spend(hash, zset, holds, now + ask.timeout_ms + scope.window_ms)
        redis.call('HSET', hash, 'held:' .. replica, 0)
        if silent > ask.forget_ms then forget(hash, replica) end
      else
        held = held + holds
      end
      if silent > ask.lease_ms or fields['alone:' .. replica] == '1' then
        left = left + tonumber(fields['share:' .. replica] or ask.share)
      end
    end
  end
  return held, math.min(left, 1 - ask.share)
end

local function register(hash, zset, scope)
  if scope.fresh then
    local before = tonumber(redis.call('HGET', hash, 'held:' .. ask.replica) or '0')
    spend(hash, zset, before, now + ask.timeout_ms + scope.window_ms)
  end
  if ask.leaving then
    spend(hash, zset, scope.held, now + ask.timeout_ms + scope.window_ms)
    forget(hash, ask.replica)
  else
    local alone = scope.alone and '1' or '0'
    redis.call('HSET', hash, 'held:' .. ask.replica, scope.held, 'seen:' .. ask.replica, now)
    redis.call('HSET', hash, 'alone:' .. ask.replica, alone, 'share:' .. ask.replica, ask.share)
  end
  spend(hash, zset, scope.ended, now + scope.window_ms)
  if scope.freeze_ms > 0 then
    local frozen = tonumber(redis.call('HGET', hash, 'frozen') or '0')
    redis.call('HSET', hash, 'frozen', math.max(frozen, now + scope.freeze_ms))
  end
end

-- A replica that found a scope short has claimed what comes back, before all that come later and until some while after
-- it was told to ask again: none is starved by others, be they nearer or lighter.
local function read_claim(fields, replica)
  local number, ends, weight = string.match(fields['claim:' .. replica] or '', '^(%d+):(%d+):(%d+)$')
  if number and tonumber(ends) > now then return tonumber(number), tonumber(weight) end
end

local function claimed_before(fields)
  local claimed, mine = 0, read_claim(fields, ask.replica) or math.huge
  for field in pairs(fields) do
    local replica = string.match(field, '^claim:(.*)$')
    local number, weight = read_claim(fields, replica or '')
    if number and number < mine then claimed = claimed + weight end
  end
  return claimed
end

local function claim(hash, fields, weight, wait)
  local number = read_claim(fields, ask.replica) or redis.call('HINCRBY', hash, 'last', 1)
  redis.call('HSET', hash, 'claim:' .. ask.replica, number .. ':' .. now + wait + ask.lease_ms .. ':' .. weight)
end

local granted, wait_ms = ask.count, 0
local replies, short = {}, {}
for i, scope in ipairs(ask.scopes) do
  local hash, zset = KEYS[2 * i - 1], KEYS[2 * i]
  recognise(hash, zset, scope)
  take_back(hash, zset)
  register(hash, zset, scope)
  local held, lost = others(hash, zset, scope)
  local fields = read(hash)
  local closed = math.max(0, tonumber(fields.closed) - now)
  local frozen = math.max(0, tonumber(fields.frozen or '0') - now)
  local capacity = scope.capacity - math.ceil(scope.capacity * lost)
  local free = capacity - tonumber(fields.spent or '0') - held - (ask.leaving and 0 or scope.held)
  replies[i] = { closed_ms = closed, frozen_ms = frozen }
  if scope.weight > 0 and ask.count > 0 then
    local fits = math.floor((free - claimed_before(fields)) / scope.weight)
    if closed > 0 or frozen > 0 then
      fits = 0
      wait_ms = math.max(wait_ms, closed, frozen)
    elseif scope.weight > capacity then -- it does not fit beside what is left to others, and claims nothing meanwhile
      fits = 0
      wait_ms = math.max(wait_ms, ask.lease_ms)
    elseif fits < 1 then
      fits = 0
      local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
      local wait = math.max(0, first and tonumber(first) - now or 0)
      wait_ms = math.max(wait_ms, wait)
      short[#short + 1] = { hash, fields, scope.weight, wait }
    end
    granted = math.min(granted, fits)
  end
end

for i, scope in ipairs(ask.scopes) do
  if granted > 0 and scope.weight > 0 then
    redis.call('HINCRBY', KEYS[2 * i - 1], 'held:' .. ask.replica, granted * scope.weight)
    redis.call('HDEL', KEYS[2 * i - 1], 'claim:' .. ask.replica)
  end
end
for _, lack in ipairs(short) do claim(lack[1], lack[2], lack[3], lack[4]) end
return cjson.encode({ now_ms = now, granted = granted, wait_ms = wait_ms, scopes = replies })
