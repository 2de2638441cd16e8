// What the list of docs/frontend.md promises, one promise after the other, of a user's own tasks or of those of a new
// workspace; `elsewhere` is another tab.
import assert from "node:assert/strict";
import { busy, expired, faults, lost, sent } from "./browser"; // first: the others take its fetch
import { ApiError, unwrap } from "./lib/api";
import { signIn } from "./lib/session";
import { TaskList } from "./lib/task-list";
import { ownTasks, tasksOf } from "./lib/task-requests";
import { createWorkspace } from "./lib/workspaces";

const [email, password, workspace] = process.argv.slice(2) as [string, string, string | undefined];
assert.equal((await signIn(email, password)).error, null);
const requests = workspace ? tasksOf((await createWorkspace(workspace)).id) : ownTasks;

const elsewhere = {
  async change(id: string, text: string) {
    unwrap(await requests.change(id, "*", { text }));
  },
  async remove(id: string) {
    unwrap(await requests.remove(id, "*"));
  },
  async all() {
    const ids: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = unwrap(await requests.list({ sort: "order", limit: 200, ...(cursor && { cursor }) }));
      ids.push(...page.items.map((task) => task.id));
      cursor = page.next_cursor;
    }
    return ids;
  },
  async texts() {
    return unwrap(await requests.list({ sort: "order" })).items.map((task) => task.text);
  },
};

const texts = () => list.snapshot().map((task) => task.text);
const called = (text: string) => list.snapshot().find((task) => task.text === text)!;

// ---- signed in ----

const list = new TaskList(requests);
const history: string[][] = [];
list.subscribe(() => history.push(texts()));
assert.equal(await list.load(), false);

// A new task shows at once.
const adding = list.add("Buy milk");
assert.deepEqual(texts(), ["Buy milk"]);
await adding;
await list.add("Call Bob");
assert.deepEqual(texts(), ["Buy milk", "Call Bob"]);
assert.equal(called("Buy milk").user_id.length > 0, true);

// A task whose answer was lost, or that met a busy API, is there once.
faults.push(lost);
await list.add("Fix the fence");
faults.push(busy);
await list.add("Water the plants");
assert.deepEqual(await elsewhere.texts(), ["Buy milk", "Call Bob", "Fix the fence", "Water the plants"]);
assert.deepEqual(texts(), await elsewhere.texts());

// A token that has expired is renewed, and the request sent again.
faults.push(expired);
await list.change(called("Buy milk").id, { completed: true });
assert.equal(called("Buy milk").completed, true);
assert.deepEqual(sent.filter((each) => each.startsWith("PATCH")), ["PATCH 401", "PATCH 200"]);

// Two quick changes of one task are no conflict, and the list never shows anything in between.
history.length = 0;
const bob = called("Call Bob").id;
await Promise.all([list.change(bob, { text: "Call Bob at six" }), list.change(bob, { completed: true })]);
assert.deepEqual([...new Set(history.map((each) => each.join()))], [
  "Buy milk,Call Bob at six,Fix the fence,Water the plants",
]);

// What was changed elsewhere is not overwritten: it shows, and the promise rejects. So it is with a task that was changed here,
const fence = called("Fix the fence").id;
await elsewhere.change(fence, "Paint the fence");
await assert.rejects(list.change(fence, { text: "Burn the fence" }), (error: ApiError) => error.problem.status === 412);
assert.deepEqual(texts(), await elsewhere.texts());
assert.ok(texts().includes("Paint the fence"));
await list.change(fence, { text: "Burn the fence" }); // now it was seen
// and with one that was only loaded as a list.
const other = new TaskList(requests);
await other.load();
await elsewhere.change(fence, "Sell the fence");
await assert.rejects(other.change(fence, { completed: true }), (error: ApiError) => error.problem.status === 412);
assert.deepEqual(other.snapshot().map((task) => task.text), await elsewhere.texts());
await other.change(fence, { completed: true });
await assert.rejects(list.remove(fence), ApiError);
assert.equal(called("Sell the fence").completed, true);

// What the API refuses goes back to what it was.
await assert.rejects(list.change(fence, { text: "" }), (error: ApiError) => error.problem.errors![0]!.pointer === "#/text");
assert.ok(texts().includes("Sell the fence"));
await assert.rejects(list.add("x".repeat(501)), ApiError);
assert.equal(texts().length, 4);

// Drag and drop: in the new order at once, and there too.
const moving = list.move([...list.snapshot()].reverse().map((task) => task.id));
const expected = ["Water the plants", "Sell the fence", "Call Bob at six", "Buy milk"];
assert.deepEqual(texts(), expected);
await moving;
assert.deepEqual(texts(), expected);
assert.deepEqual(await elsewhere.texts(), expected);
await list.change(fence, { completed: false }); // the move was ours: no conflict

// What is deleted here is gone there; what was deleted there is gone here.
await list.remove(called("Buy milk").id);
await elsewhere.remove(called("Call Bob at six").id);
await assert.rejects(list.change(called("Call Bob at six").id, { completed: false }), ApiError);
assert.deepEqual(texts(), ["Water the plants", "Sell the fence"]);
assert.deepEqual(await elsewhere.texts(), texts());

// More tasks than a page has come page by page, and dragging on one page leaves the others as they are. What is moved may be
// more than can be sent at once.
const create = (n: number) => requests.create({ text: `Task ${n}`, order: n % 100 }, `task-${n}`);
for (let n = 0; n < 600; n += 4) await Promise.all([create(n), create(n + 1), create(n + 2), create(n + 3)]);
const pages = new TaskList(requests);
assert.equal(await pages.load(), true);
assert.equal(pages.snapshot().length, 50);
const before = await elsewhere.all();
const shown = pages.snapshot().map((task) => task.id);
assert.deepEqual(before.slice(0, 50), shown);
await pages.move([shown.at(-1)!, ...shown.slice(0, -1)]);
assert.deepEqual(await elsewhere.all(), [shown.at(-1)!, ...shown.slice(0, -1), ...before.slice(50)]);
while (await pages.load());
assert.deepEqual(pages.snapshot().map((task) => task.id), await elsewhere.all());
sent.length = 0;
faults.push(lost);
const turned = pages.snapshot().map((task) => task.id).reverse();
await pages.move(turned);
assert.deepEqual(sent, ["PATCH 200", "PATCH 200"]); // and one whose response was lost
assert.deepEqual(await elsewhere.all(), turned);

// A task that was deleted there is taken off when it is moved here; the move can be tried again.
await elsewhere.remove(turned[0]!);
const pair = [turned[1]!, turned[0]!];
await assert.rejects(pages.move(pair), (error: ApiError) => error.problem.status === 404);
assert.deepEqual(pages.snapshot().map((task) => task.id), turned.slice(1));
assert.deepEqual(await elsewhere.all(), turned.slice(1));
