-- What wrk sends: the requests in a folder's files 0, 1, ... in turn; prints a line of JSON.
-- Arguments: the folder, and how many files there are.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  requests, turn, statuses = {}, 0, {}
  for number = 0, tonumber(arguments[2]) - 1 do
    local file = assert(io.open(arguments[1] .. "/" .. number, "rb"))
    requests[number] = file:read("*a")
    file:close()
  end
end

function request()
  local chosen = requests[turn]
  turn = (turn + 1) % (#requests + 1)
  return chosen
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local counted = {}
  for _, thread in ipairs(threads) do
    for status, number in pairs(thread:get("statuses")) do
      table.insert(counted, string.format('"%d": %d', status, number))
    end
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  if broken > 0 then
    table.insert(counted, string.format('"0": %d', broken))
  end
  print(string.format(
    '{"seconds": %.3f, "p50_ms": %.1f, "p99_ms": %.1f, "statuses": {%s}}',
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    table.concat(counted, ", ")))
end
