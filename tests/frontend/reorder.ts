// What dragging does to a list of which a part is loaded, ten thousand times at random.
import assert from "node:assert/strict";
import { reorder } from "./lib/task-list";

type Place = { id: string; order: number };

let seed = 1;
const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
const sorted = (tasks: Place[]) =>
  tasks.toSorted((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1)).map((task) => task.id);
const after = (tasks: Place[], orders: Map<string, number>) =>
  tasks.map((task) => ({ ...task, order: orders.get(task.id) ?? task.order }));

function check(all: Place[], loaded: number, wanted: (ids: string[]) => string[]) {
  const ids = sorted(all);
  const known = new Map(all.map((task) => [task.id, task]));
  const shown = ids.slice(0, loaded);
  const end = loaded < ids.length ? known.get(shown.at(-1)!) : undefined;
  const moved = wanted(shown);

  const orders = reorder(shown.map((id) => known.get(id)!), moved, end);

  assert.deepEqual(sorted(after(all, orders)), [...moved, ...ids.slice(loaded)]);
  const values = (tasks: Place[]) => tasks.map((task) => task.order).sort((a, b) => a - b);
  const areDistinct = new Set(values(all)).size === all.length; // and what is not loaded might have the order of the end
  if (areDistinct && !end) assert.deepEqual(values(after(all, orders)), values(all), "an order that was not there");
  for (const [id, order] of orders) assert.notEqual(order, known.get(id)!.order, "what stays is sent");
  return orders;
}

const drag = (from: number, to: number) => (ids: string[]) => {
  const [id] = ids.splice(from, 1);
  ids.splice(to, 0, id!);
  return ids;
};

for (let round = 0; round < 10_000; round++) {
  const size = 1 + random(12);
  const values = [1, 3, 1000][random(3)]!; // all the same, many ties, hardly any
  const all = Array.from({ length: size }, (_, n) => ({ id: String.fromCharCode(97 + n), order: random(values) - 2 }));
  const loaded = 1 + random(size);
  check(all, loaded, drag(random(loaded), random(loaded)));
  check(all, loaded, (ids) => ids.toSorted(() => random(3) - 1));
  assert.equal(check(all, loaded, (ids) => ids).size, 0);
}

// A task that is moved by two places changes three tasks; what is unknown or named twice changes nothing.
const ten = Array.from({ length: 10 }, (_, n) => ({ id: `${n}`, order: 10 * n }));
assert.deepEqual([...check(ten, 10, drag(4, 2)).keys()].sort(), ["2", "3", "4"]);
assert.deepEqual([...reorder(ten, ["5", "nobody", "5", "3"])].sort(), [["3", 50], ["5", 30]]);

// A task that was added behind what is loaded may come forward. Then the last one that is loaded stays before what is not.
const [first, last, unloaded, added] = [["1", 10], ["2", 20], ["3", 30], ["4", 40]].map(([id, order]) => ({ id, order }) as Place);
const moved = reorder([first!, last!, added!], ["4", "1", "2"], last);
assert.deepEqual(sorted(after([first!, last!, unloaded!, added!], moved)), ["4", "1", "2", "3"]);
// And when others move, it stays.
assert.deepEqual([...reorder([first!, last!, added!], ["2", "1", "4"], last).keys()].sort(), ["1", "2"]);
