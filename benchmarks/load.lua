-- Makes the requests of a scenario, as many users, and checks every response.
--   wrk … --script load.lua URL -- SCENARIO USERS TASKS TOKENS [DOCUMENT]
-- USERS have TASKS each: task n of all belongs to user n % USERS. TOKENS is a file with one token per line, of user 0,
-- user 1 and so on; requests are made as these users. DOCUMENT is the scenario's request in GraphQL.
-- A scenario whose name starts with workspace_ is about the tasks of the user's workspace.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local allowed = {
  list_50 = { page = 200 },
  read_one = { task = { [200] = true } },
  create = { task = { [201] = true } },
  patch = { task = { [200] = true } },
  mixed = { page = 200, task = { [200] = true, [201] = true } },
}
local shared = false
local make, tokens, users, tasks, expected, starts, document, checked

local function caller()
  return math.random(0, #tokens - 1)
end

local function task()
  local user = caller()
  return user, string.format("01900000-0000-7000-8000-%012x", math.random(0, tasks - 1) * users + user)
end

local function message(method, user, target, body)
  local headers = { Authorization = "Bearer " .. tokens[user + 1] }
  if body then headers["Content-Type"] = "application/json" end
  return wrk.format(method, target, headers, body)
end

local function home(user)
  return shared and string.format("/workspaces/01900000-0000-7000-9000-%012x/tasks", user) or "/tasks"
end

-- Always of the same length, so that a changed row keeps its size.
local function text()
  return string.format("Call the plumber about the leak, %08d", math.random(0, 99999999))
end

local makers = {
  list_50 = function()
    local user = caller()
    return message("GET", user, home(user) .. "?sort=-created")
  end,
  read_one = function()
    local user, id = task()
    return message("GET", user, home(user) .. "/" .. id)
  end,
  create = function()
    return message("POST", caller(), "/tasks", '{"text": "' .. text() .. '", "order": 1000}')
  end,
  patch = function()
    local user, id = task()
    return message("PATCH", user, "/tasks/" .. id, '{"text": "' .. text() .. '"}')
  end,
}

-- The variables of DOCUMENT: those that it does not have are ignored.
local function graphql()
  local user, id = task()
  return message("POST", user, "/graphql", string.format(
    '{"query": "%s", "variables": {"user": "bench-%d", "id": "%s", "text": "%s", "order": 1000}}',
    document, user, id, text()
  ))
end

function makers.mixed()
  local dice = math.random(100)
  local scenario = dice <= 70 and "list_50" or dice <= 90 and "read_one" or dice <= 95 and "create" or "patch"
  return makers[scenario]()
end

function init(arguments)
  local scenario, prefixes = arguments[1]:gsub("^workspace_", "")
  shared = prefixes > 0
  users, tasks, tokens = tonumber(arguments[2]), tonumber(arguments[3]), {}
  for line in io.lines(arguments[4]) do table.insert(tokens, line) end
  make, expected = makers[scenario], allowed[scenario]
  starts = { page = '{"items":[', task = shared and '{"workspace_id":"' or '{"id":"' }
  document = arguments[5]
  if document then -- what is found is below its name, and there is one status
    local name = scenario == "read_one" and '"task":{' or '"written":{"task":{'
    starts = { page = '{"data":{"page":{"items":[', task = '{"data":{' .. name .. '"id":"' }
    make, expected = graphql, { page = expected.page, task = expected.task and { [200] = true } }
  end
  math.randomseed(50)
  checked, failures, failure = 0, 0, ""
end

function request()
  return make()
end

local function count(body, word)
  local times, at = 0, 0
  while true do
    at = body:find(word, at + 1, true)
    if not at then return times end
    times = times + 1
  end
end

local function correct(status, body)
  checked = checked + 1
  if body:sub(1, #starts.page) == starts.page then
    -- Counting is slow, so only one page in sixteen.
    return status == expected.page and #body > 10000 and #body < 20000 and body:sub(-1) == "}"
      and (checked % 16 > 0 or count(body, '"completed_at"') == 50)
  end
  return expected.task and expected.task[status] and body:sub(1, #starts.task) == starts.task
    and #body > 200 and #body < 400 and body:sub(-1) == "}"
end

function response(status, _, body)
  if not correct(status, body) then
    failures = failures + 1
    if failures == 1 then failure = status .. " " .. body:sub(1, 200) end
  end
end

function done(summary, latency, _)
  local errors, failures, failure = summary.errors, 0, ""
  for _, thread in ipairs(threads) do
    failures = failures + thread:get("failures")
    if failure == "" then failure = thread:get("failure") end
  end
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failures": %d, "failure": "%s"}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failures + errors.connect + errors.read + errors.write + errors.timeout,
    failure:gsub("[%c\\\"]", " ")
  ))
end
