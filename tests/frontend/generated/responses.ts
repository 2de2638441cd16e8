// What the API sends and takes, by the schemas of zod that two generators make of its document.
import assert from "node:assert/strict";
import * as sdk from "./lib/hey-api";
import { client } from "./lib/hey-api/client.gen";
import * as heyApi from "./lib/hey-api/zod.gen";
import * as orval from "./lib/orval";

const [baseUrl, token] = process.argv.slice(2) as [string, string];
client.setConfig({ baseUrl, auth: () => token, throwOnError: true });

const body = { text: "Buy milk", order: 10 };
assert.deepEqual(orval.createTaskBody.parse(body), heyApi.zCreateTaskBody.parse(body));
const { data: created } = await sdk.createTask({ body, throwOnError: true });
const path = { task_id: created.id };
const { data: changed } = await sdk.changeTask({ path, body: { completed: true }, throwOnError: true });
for (const task of [created, changed]) {
  assert.deepEqual(heyApi.zTask.parse(task), task);
  assert.deepEqual(orval.readTaskResponse.parse(task), task);
}

const query = { q: "MILK", limit: 1, sort: "-created", completed: true } as const;
assert.deepEqual(orval.listTasksQueryParams.parse(query), heyApi.zListTasksQuery.parse(query));
const { data: page } = await sdk.listTasks({ query, throwOnError: true });
assert.deepEqual(heyApi.zListTasksResponse.parse(page), { items: [changed], next_cursor: null });
assert.deepEqual(orval.listTasksResponse.parse(page), page);

const { data: workspace } = await sdk.createWorkspace({ body: { name: "Garden" }, throwOnError: true });
const here = { workspace_id: workspace.id };
const { data: workspaces } = await sdk.listWorkspaces({ throwOnError: true });
assert.deepEqual(heyApi.zListWorkspacesResponse.parse(workspaces).items, [workspace]);
assert.deepEqual(orval.listWorkspacesResponse.parse(workspaces), workspaces);
const { data: invitation } = await sdk.createInvitation({ path: here, body: { role: "viewer" }, throwOnError: true });
const { token: secret, ...withoutToken } = invitation;
for (const each of [invitation, { ...withoutToken, token: null }]) { // null: as when the request is repeated
  assert.deepEqual(heyApi.zCreateInvitationResponse.parse(each), each);
}
const { data: invitations } = await sdk.listInvitations({ path: here, throwOnError: true });
assert.deepEqual(orval.listInvitationsResponse.parse(invitations), { items: [withoutToken], next_cursor: null });
assert.deepEqual(heyApi.zAcceptInvitationBody.parse({ token: secret }), orval.acceptInvitationBody.parse({ token: secret }));
const { data: members } = await sdk.listMembers({ path: here, throwOnError: true });
assert.deepEqual(heyApi.zListMembersResponse.parse(members), orval.listMembersResponse.parse(members));
const { data: shared } = await sdk.createWorkspaceTask({ path: here, body, throwOnError: true });
assert.deepEqual(heyApi.zWorkspaceTask.parse(shared), orval.readWorkspaceTaskResponse.parse(shared));
const { error: refused } = await sdk.removeMember({ path: { ...here, user_id: "alice" }, throwOnError: false });
assert.equal(heyApi.zProblem.parse(refused).code, "last_owner");

const { data: health } = await sdk.readHealth({ throwOnError: true });
assert.deepEqual(orval.readHealthResponse.parse(heyApi.zHealth.parse(health)), health);
const { error } = await sdk.createTask({ body: { text: "" }, throwOnError: false });
assert.deepEqual(heyApi.zProblem.parse(error), error);

// What the API refuses, they refuse, and nothing else.
const taken = (text: string) =>
  [heyApi.zCreateTaskBody, orval.createTaskBody].map((schema) => schema.safeParse({ text }).success);
for (const text of ["", " \t", "\u2028\u2029", "\u3000", "a\0", "x".repeat(501)]) {
  assert.deepEqual(taken(text), [false, false], JSON.stringify(text));
  assert.equal((await sdk.createTask({ body: { text }, throwOnError: false })).response?.status, 422);
}
for (const text of ["x".repeat(500), "\u2028a", "é", "漢", "🧱", "\u200b", "\ufeff"]) {
  assert.deepEqual(taken(text), [true, true], JSON.stringify(text));
  await sdk.createTask({ body: { text }, throwOnError: true });
}
