"""What happens in Redis in one step, as Lua: a commit, a takeover, a look for a run, and what viewers and stops need.

Keys, all behind one prefix:

    replicas           set: every replica that has a journal
    replica:ID         hash: `writer`, who may write to this journal (itself, or who took it over), and `seq`, its last entry
    lease:ID           there while the replica lives
    journal:ID         stream: entry N-0 is its group commit N
    control:ID         stream: messages for it
    where:RUN          the replica whose journal holds a run that has no record yet
    recent:ROW         list: the runs that began last in the conversation of that row, the newest first
    run:RUN head:RUN   a finished run, and its first event, which is kept longer
    stop:RUN           somebody has asked for the run to be stopped
    probe              whoever is asked whether it is ready has written this
    viewing:RUN        hash: replica → until when it has viewers of the run, in milliseconds by the clock of Redis
"""

SECONDS = 1000
HOUR = 3600 * SECONDS
DAY = 24 * HOUR
TRACE_MS = 7 * DAY
"""How long it is known where a run is, and that a journal was given up: longer than any run or any pause of a process."""
LAST_READ_MS = 60 * SECONDS
"""How long a journal that was given up can still be read to its end."""
HEAD_MS = 30 * DAY
"""How long it is known of a finished run that it was, if its events are not kept so long: it is gone, not unknown."""

COMMIT = """
local prefix, me, known, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lease, trace, last_read = ARGV[5], ARGV[6], ARGV[7]
local keep_from, body, given_up = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])

local state = redis.call('HMGET', prefix .. 'replica:' .. me, 'writer', 'seq')
local last = tonumber(state[2] or 0)
if state[1] and state[1] ~= me then return -1 end
for i = 11, 10 + given_up do
    local writer = redis.call('HGET', prefix .. 'replica:' .. ARGV[i], 'writer')
    if writer and writer ~= me and writer ~= ARGV[i] then return -1 end
end
if last < known then return -2 end
if last > most then return -3 end

if not state[1] then
    redis.call('HSET', prefix .. 'replica:' .. me, 'writer', me, 'seq', 0)
    redis.call('SADD', prefix .. 'replicas', me)
end
if body ~= '' then
    last = last + 1
    redis.call('XADD', prefix .. 'journal:' .. me, last .. '-0', 'g', body)
    redis.call('HSET', prefix .. 'replica:' .. me, 'seq', last)
    for i = 11 + given_up, #ARGV, 2 do
        redis.call('SET', prefix .. 'where:' .. ARGV[i], me, 'PX', trace)
        if ARGV[i + 1] ~= '' then
            local recent = prefix .. 'recent:' .. ARGV[i + 1]
            redis.call('LREM', recent, 0, ARGV[i])
            redis.call('LPUSH', recent, ARGV[i])
            redis.call('LTRIM', recent, 0, 15)
            redis.call('PEXPIRE', recent, trace)
        end
    end
end
for i = 11, 10 + given_up do
    local id = ARGV[i]
    if redis.call('EXISTS', prefix .. 'journal:' .. id) == 1 then
        local seq = redis.call('HINCRBY', prefix .. 'replica:' .. id, 'seq', 1)
        redis.call('XADD', prefix .. 'journal:' .. id, seq .. '-0', 'moved', me)
        redis.call('PEXPIRE', prefix .. 'journal:' .. id, last_read)
    end
    redis.call('HSET', prefix .. 'replica:' .. id, 'writer', me)
    redis.call('PEXPIRE', prefix .. 'replica:' .. id, trace)
    redis.call('SREM', prefix .. 'replicas', id)
    redis.call('DEL', prefix .. 'lease:' .. id)
end
if keep_from > 0 then
    redis.call('XTRIM', prefix .. 'journal:' .. me, 'MINID', keep_from .. '-0')
end
redis.call('SET', prefix .. 'lease:' .. me, 1, 'PX', lease)
return last
"""
"""Write a group, or only renew the lease, and give up the journals whose runs are in the group.

Last come the runs that begin in the group, each with the row of its conversation, or '' where it only moved here.
known: the last entry that was acknowledged. most: the last one that an attempt without an answer may have written; where
there is a later one, this very call is an old attempt that lay about on the way.
Returns the number of the last entry; -1 where another replica has taken over what was to be written or given up, -2 where
Redis lost entries that it had acknowledged, -3 for an old attempt.
"""

FENCED, LOST, LATE = -1, -2, -3

CLAIM = """
local prefix, me, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('EXISTS', prefix .. 'lease:' .. me) == 0 then return {} end
local up = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
if up and tonumber(up) * 1000 <= lease then return {} end
local claimed = {}
for _, id in ipairs(redis.call('SMEMBERS', prefix .. 'replicas')) do
    if id ~= me and redis.call('EXISTS', prefix .. 'lease:' .. id) == 0 then
        local writer = redis.call('HGET', prefix .. 'replica:' .. id, 'writer')
        if not writer then
            redis.call('SREM', prefix .. 'replicas', id)
        elseif writer == me or redis.call('EXISTS', prefix .. 'lease:' .. writer) == 0 then
            redis.call('HSET', prefix .. 'replica:' .. id, 'writer', me)
            claimed[#claimed + 1] = id
        end
    end
end
return claimed
"""
"""Become the writer of the journal of every replica that is dead, unless another one that lives is so already.

A Redis that was started less than a lease ago knows of no lease that is to be trusted: it may have come back without its
last seconds. Until then whoever lives has the time to say so, and to write what was lost again.
"""

LEAVE = """
local prefix, me, all_over = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', prefix .. 'replica:' .. me, 'writer') ~= me then return end
redis.call('DEL', prefix .. 'lease:' .. me)
if all_over == '1' then
    redis.call('SREM', prefix .. 'replicas', me)
    redis.call('PEXPIRE', prefix .. 'journal:' .. me, ARGV[4])
    redis.call('PEXPIRE', prefix .. 'control:' .. me, ARGV[4])
    redis.call('PEXPIRE', prefix .. 'replica:' .. me, ARGV[4])
end
"""
"""Go in order; what is not over is left to whoever takes over."""

FIND = """
local prefix, run = ARGV[1], ARGV[2]
local found = redis.call('MGET', prefix .. 'run:' .. run, prefix .. 'head:' .. run, prefix .. 'where:' .. run)
if found[1] or found[2] or not found[3] then return {found[1] or found[2]} end
return {false, found[3], redis.call('HGET', prefix .. 'replica:' .. found[3], 'seq')}
"""
"""A run's record or, failing that, its first event alone; or in whose journal it is, and how long that journal is now."""

STOP = """
local prefix, run = ARGV[1], ARGV[2]
local first = redis.call('SET', prefix .. 'stop:' .. run, 1, 'NX', 'PX', ARGV[3])
local owner = redis.call('GET', prefix .. 'where:' .. run)
if owner and ARGV[4] == '1' then
    redis.call('XADD', prefix .. 'control:' .. owner, 'MAXLEN', '~', 1000, '*', 'stop', run)
    redis.call('PEXPIRE', prefix .. 'control:' .. owner, ARGV[3])
end
return first and 1 or 0
"""
"""Note that a run is to be stopped and, where asked to, tell its owner. Returns 1 for the first who says so."""

VIEW = """
local prefix, me, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + most
for i = 4, #ARGV do
    redis.call('HSET', prefix .. 'viewing:' .. ARGV[i], me, until_ms)
    redis.call('PEXPIRE', prefix .. 'viewing:' .. ARGV[i], most)
end
"""
"""This replica has viewers of these runs for some time to come."""

UNVIEW = """
local prefix, me, run = ARGV[1], ARGV[2], ARGV[3]
redis.call('HDEL', prefix .. 'viewing:' .. run, me)
local owner = redis.call('GET', prefix .. 'where:' .. run)
if owner then
    redis.call('XADD', prefix .. 'control:' .. owner, 'MAXLEN', '~', 1000, '*', 'left', run)
    redis.call('PEXPIRE', prefix .. 'control:' .. owner, ARGV[4])
end
"""
"""This replica's last viewer of the run is gone; its owner is told."""

VIEWED = """
local time = redis.call('TIME')
local now, most = time[1] * 1000 + math.floor(time[2] / 1000), 0
local untils = redis.call('HVALS', ARGV[1] .. 'viewing:' .. ARGV[2])
for _, value in ipairs(untils) do most = math.max(most, tonumber(value) - now) end
return most
"""
"""For how many milliseconds at least somebody elsewhere is taken to view the run; 0 for nobody."""
