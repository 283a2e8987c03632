-- One exchange of one replica about some scopes of one venue: it says what it holds and what came to an end, and may ask
-- for tokens of several scopes, all or nothing. Times are the server's, in milliseconds.
-- KEYS: for each scope a hash and a sorted set. ARGV[1]: gateway.limits.shared.Ask as JSON. Returns Reply as JSON.
--
-- hash:  run, closed, frozen, spent, last, held:<replica>, seen:<replica>, alone:<replica>, claim, claimed, claim_until
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

-- A server that was restarted may have forgotten calls: nothing is granted until they have left every window.
local function recognise(hash, scope)
  if redis.call('HGET', hash, 'run') ~= run then
    redis.call('HSET', hash, 'run', run, 'closed', now + scope.window_ms + ask.timeout_ms)
  end
end

local function take_back(hash, zset)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', zset, '-inf', now)) do
    redis.call('HINCRBY', hash, 'spent', -tonumber(string.match(member, ':(%d+)$')))
  end
  redis.call('ZREMRANGEBYSCORE', zset, '-inf', now)
end

-- What all replicas hold. One that fell silent may be gone: what it held comes back a call's timeout and a window later.
-- Or only its way to this server is gone, and it lives on its fallback share, as one does that says it is alone: that is
-- left to it.
local function others(hash, zset, scope)
  local held, astray, fields = 0, 0, read(hash)
  for field, value in pairs(fields) do
    local replica = string.match(field, '^seen:(.*)$')
    if replica and replica ~= ask.replica then
      local holds = tonumber(fields['held:' .. replica] or '0')
      local silent = now - tonumber(value)
      if silent > ask.lease_ms then
        spend(hash, zset, holds, now + ask.timeout_ms + scope.window_ms)
        redis.call('HSET', hash, 'held:' .. replica, 0)
        if silent > ask.forget_ms then redis.call('HDEL', hash, 'held:' .. replica, 'alone:' .. replica, field) end
      else
        held = held + holds
      end
      if silent > ask.lease_ms or fields['alone:' .. replica] == '1' then astray = astray + 1 end
    end
  end
  return held, math.min(astray * ask.share, 1 - ask.share)
end

local function register(hash, zset, scope)
  if ask.fresh then
    local before = tonumber(redis.call('HGET', hash, 'held:' .. ask.replica) or '0')
    spend(hash, zset, before, now + ask.timeout_ms + scope.window_ms)
  end
  if ask.leaving then
    spend(hash, zset, scope.held, now + ask.timeout_ms + scope.window_ms)
    redis.call('HDEL', hash, 'held:' .. ask.replica, 'seen:' .. ask.replica, 'alone:' .. ask.replica)
  else
    local alone = scope.alone and '1' or '0'
    redis.call('HSET', hash, 'held:' .. ask.replica, scope.held, 'seen:' .. ask.replica, now, 'alone:' .. ask.replica, alone)
  end
  spend(hash, zset, scope.ended, now + scope.window_ms)
  if scope.freeze_ms > 0 then
    local frozen = tonumber(redis.call('HGET', hash, 'frozen') or '0')
    redis.call('HSET', hash, 'frozen', math.max(frozen, now + scope.freeze_ms))
  end
end

-- A replica that found a scope short has claimed what comes back first, for a while: none is starved by the others.
local function claimed_by_another(fields)
  if fields.claim and fields.claim ~= ask.replica and tonumber(fields.claim_until) > now then
    return tonumber(fields.claimed)
  end
  return 0
end

local function claim(hash, fields, weight)
  if claimed_by_another(fields) == 0 then
    redis.call('HSET', hash, 'claim', ask.replica, 'claimed', weight, 'claim_until', now + ask.lease_ms)
  end
end

local granted, wait_ms = ask.count, 0
local replies, short = {}, {}
for i, scope in ipairs(ask.scopes) do
  local hash, zset = KEYS[2 * i - 1], KEYS[2 * i]
  recognise(hash, scope)
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
    local fits = math.floor((free - claimed_by_another(fields)) / scope.weight)
    if closed > 0 or frozen > 0 then
      fits = 0
      wait_ms = math.max(wait_ms, closed, frozen)
    elseif fits < 1 then
      fits = 0
      local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
      wait_ms = math.max(wait_ms, first and tonumber(first) - now or 0)
      short[#short + 1] = { hash, fields, scope.weight }
    end
    granted = math.min(granted, fits)
  end
end

for i, scope in ipairs(ask.scopes) do
  if granted > 0 and scope.weight > 0 then
    redis.call('HINCRBY', KEYS[2 * i - 1], 'held:' .. ask.replica, granted * scope.weight)
    if redis.call('HGET', KEYS[2 * i - 1], 'claim') == ask.replica then
      redis.call('HDEL', KEYS[2 * i - 1], 'claim', 'claimed', 'claim_until')
    end
  end
end
for _, lack in ipairs(short) do claim(lack[1], lack[2], lack[3]) end
return cjson.encode({ now_ms = now, granted = granted, wait_ms = wait_ms, scopes = replies })
