// Calls every route once, typed by api/openapi.json: a promise that it no longer makes does not compile.
import assert from "node:assert/strict";
import createClient, { type Client } from "openapi-fetch";
import type { components, operations, paths } from "./lib/schema";

const [baseUrl, ...tokens] = process.argv.slice(2) as [string, string, string];
const [api, bob] = tokens.map((token) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } }),
) as [Client<paths>, Client<paths>];

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

// ---- a workspace, and what is in it ----

const named = await api.POST("/workspaces", { body: { name: "Garden" } });
const workspace: components["schemas"]["Workspace"] = named.data!;
const mine = await api.GET("/workspaces", { params: { query: { sort: "-created", limit: 10 } } });
assert.deepEqual(mine.data, { items: [workspace], next_cursor: null });
const here = { workspace_id: workspace.id };
const renamed = await api.PATCH("/workspaces/{workspace_id}", { params: { path: here }, body: { name: "Yard" } });
assert.equal(renamed.data?.role satisfies components["schemas"]["Member"]["role"] | undefined, "owner");
const found = await api.GET("/workspaces/{workspace_id}", { params: { path: here } });
assert.deepEqual(found.data, renamed.data);

const invited = await api.POST("/workspaces/{workspace_id}/invitations", {
  params: { path: here, ...key }, // the key is of another request
  body: { role: "viewer" },
});
assert.equal(invited.error?.errors?.[0]?.code, "idempotency_key_reused");
const invite = () => api.POST("/workspaces/{workspace_id}/invitations", { params: { path: here }, body: { role: "viewer" } });
const { token, ...invitation } = (await invite()).data!;
const revoked = { params: { path: { ...here, invitation_id: (await invite()).data!.id } } };
assert.equal((await api.DELETE("/workspaces/{workspace_id}/invitations/{invitation_id}", revoked)).response.status, 204);
const listed = await api.GET("/workspaces/{workspace_id}/invitations", { params: { path: here } });
assert.deepEqual(listed.data?.items satisfies components["schemas"]["Invitation"][] | undefined, [invitation]);
const open = { params: { path: { ...here, invitation_id: invitation.id } } };
const acceptedBy: string | null = (await api.GET("/workspaces/{workspace_id}/invitations/{invitation_id}", open)).data!.accepted_by;
assert.equal(acceptedBy, null);
const joined = await bob.POST("/invitations/accept", { body: { token: token! } });
assert.deepEqual([joined.data?.id, joined.data?.role], [workspace.id, "viewer"]);

const two = (await bob.GET("/workspaces/{workspace_id}/members", { params: { path: here } })).data!.items;
assert.deepEqual(two.map((each) => `${each.user_id} ${each.role}`), ["alice owner", "bob viewer"]);
const member = { params: { path: { ...here, user_id: "bob" } } };
const promoted = await api.PATCH("/workspaces/{workspace_id}/members/{user_id}", { ...member, body: { role: "editor" } });
assert.deepEqual((await bob.GET("/workspaces/{workspace_id}/members/{user_id}", member)).data, promoted.data);

const all = "/workspaces/{workspace_id}/tasks";
const one = "/workspaces/{workspace_id}/tasks/{task_id}";
const added = await bob.POST(all, { params: { path: here }, body: { text: "Rake the leaves" } });
const shared: components["schemas"]["WorkspaceTask"] = added.data!;
const asOwn: components["schemas"]["Task"] = shared; // whatever shows a task shows this one
assert.deepEqual([shared.workspace_id, asOwn.user_id], [workspace.id, "bob"]);
const place = { params: { path: { ...here, task_id: shared.id } } };
assert.deepEqual((await api.GET(one, place)).data, shared);
assert.equal((await api.PUT(one, { ...place, body: whole })).data?.order, 20);
assert.equal((await api.PATCH(one, { ...place, body: { order: 30 } })).data?.order, 30);
const bulk = await api.PATCH(all, { params: { path: here }, body: { tasks: [{ id: shared.id, order: 40 }] } });
assert.equal(bulk.data?.items[0]?.order, 40);
const completed = await api.GET(all, { params: { path: here, query: { completed: true, q: "MILK" } } });
assert.deepEqual(completed.data?.items, bulk.data?.items);
const emptied = await api.DELETE(all, { params: { path: here, query: { completed: "true" } } });
assert.deepEqual(emptied.data, { deleted: 1 });
assert.equal((await api.DELETE(one, place)).error?.code, "not_found");

const denied = await bob.DELETE("/workspaces/{workspace_id}", { params: { path: here } });
assert.deepEqual([denied.error?.code, denied.error?.role], ["role_required", "owner"]);
assert.equal((await bob.DELETE("/workspaces/{workspace_id}/members/{user_id}", member)).response.status, 204);
assert.equal((await api.DELETE("/workspaces/{workspace_id}", { params: { path: here } })).response.status, 204);

assert.equal((await api.GET("/health")).data?.status, "ok");
assert.equal((await api.GET("/health/db")).data?.database, "ok");
assert.equal((await api.GET("/health/live")).data?.status, "ok");

// ---- what does not compile ----

export const refused = async () => [
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
  // @ts-expect-error: there is no such role
  api.POST("/workspaces/{workspace_id}/invitations", { params: { path: here }, body: { role: "admin" } }),
  // @ts-expect-error: nobody becomes a member but by an invitation
  api.POST("/workspaces/{workspace_id}/members", { params: { path: here }, body: { user_id: "bob", role: "viewer" } }),
  // @ts-expect-error: only the response to the creation has a token, and not if it is a repetition
  listed.data!.items[0]!.token,
  // @ts-expect-error: the same
  (await invite()).data!.token satisfies string,
];

// The name of each operation is that of a function, and its answers are by status.
type Answers<Name extends keyof operations> = keyof operations[Name]["responses"];
export const statuses: [
  Answers<"createTask">[],
  Answers<"readTask">[],
  Answers<"acceptInvitation">[],
  Answers<"removeMember">[],
  Answers<"readLiveness">[],
] = [
  [201, 400, 401, 408, 413, 415, 422, 429, 431, 500, 503],
  [200, 304, 400, 401, 404, 408, 422, 429, 431, 500, 503],
  [200, 400, 401, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503],
  [204, 400, 401, 403, 404, 408, 409, 412, 422, 429, 431, 500, 503],
  [200, 400, 408, 431],
];
// @ts-expect-error: liveness has no other answer
export const none: Answers<"readLiveness"> = 503;
