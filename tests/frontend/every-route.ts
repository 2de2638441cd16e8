// Calls every route once, typed by api/openapi.json: a promise that it no longer makes does not compile.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./lib/schema";

const [baseUrl, token] = process.argv.slice(2) as [string, string];
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// ---- what is sent and answered ----

const key = { header: { "Idempotency-Key": crypto.randomUUID(), "X-Request-ID": "every-route" } };
const created = await api.POST("/tasks", { params: key, body: { text: "Buy milk" } });
assert.equal(created.response.headers.get("X-Request-ID"), "every-route");
const task: components["schemas"]["Task"] = created.data!;
const finished: string | null = task.completed_at;
assert.equal(finished, null);

const page = await api.GET("/tasks", { params: { query: { sort: "-created", completed: false, q: "MILK", limit: 10 } } });
assert.deepEqual(page.data, { items: [task], next_cursor: null });

const path = { task_id: task.id };
const read = await api.GET("/tasks/{task_id}", { params: { path } });
assert.deepEqual(read.data, task);
const seen = read.response.headers.get("ETag")!;
const unchanged = await api.GET("/tasks/{task_id}", { params: { path, header: { "If-None-Match": seen } } });
assert.equal(unchanged.response.status, 304);

const params = { path, header: { "If-Match": seen } };
const changed = await api.PATCH("/tasks/{task_id}", { params, body: { completed: true } });
assert.equal(changed.data?.completed, true);

const whole = { text: "Buy oat milk", completed: true, order: 20 };
const late = await api.PUT("/tasks/{task_id}", { params, body: whole });
const problem: components["schemas"]["Problem"] = late.error!;
assert.equal(problem.status, 412);
const replaced = await api.PUT("/tasks/{task_id}", { params: { path }, body: whole });
assert.equal(replaced.data?.text, "Buy oat milk");

const moved = await api.PATCH("/tasks", { body: { tasks: [{ id: task.id, order: 10 }] } });
assert.equal(moved.data?.items[0]?.order, 10);
const cleared = await api.DELETE("/tasks", { params: { query: { completed: "true" } } });
assert.deepEqual(cleared.data, { deleted: 1 });
const gone = await api.DELETE("/tasks/{task_id}", { params: { path } });
assert.equal(gone.error?.status, 404);

assert.equal((await api.GET("/health")).data?.status, "ok");
assert.equal((await api.GET("/health/db")).data?.database, "ok");
assert.equal((await api.GET("/health/live")).data?.status, "ok");

// ---- what does not compile ----

export const refused = () => [
  // @ts-expect-error: a task needs a text
  api.POST("/tasks", { body: { order: 1 } }),
  // @ts-expect-error: and has no colour
  { text: "Buy milk", colour: "red" } satisfies components["schemas"]["TaskCreate"],
  // @ts-expect-error: a number is a number
  api.PATCH("/tasks/{task_id}", { params: { path }, body: { order: "10" } }),
  // @ts-expect-error: null is not a value
  api.PATCH("/tasks/{task_id}", { params: { path }, body: { text: null } }),
  // @ts-expect-error: a replacement is whole
  api.PUT("/tasks/{task_id}", { params: { path }, body: { text: "Buy milk" } }),
  // @ts-expect-error: there is no such order
  api.GET("/tasks", { params: { query: { sort: "text" } } }),
  // @ts-expect-error: a list is not deleted by mistake
  api.DELETE("/tasks"),
];

// The name of each operation is that of a function, and its answers are by status.
type Answers<Name extends keyof operations> = keyof operations[Name]["responses"];
export const statuses: [Answers<"createTask">[], Answers<"readTask">[], Answers<"readLiveness">[]] = [
  [201, 400, 401, 408, 413, 415, 422, 429, 431, 500, 503],
  [200, 304, 400, 401, 404, 408, 422, 429, 431, 500, 503],
  [200, 400, 408, 431],
];
// @ts-expect-error: liveness has no other answer
export const none: Answers<"readLiveness"> = 503;
