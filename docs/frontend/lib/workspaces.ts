// Workspaces: create, invite, accept, change a role, leave.
import { api, ApiError, persistently, unwrap, type Member, type Problem, type Role, type Workspace } from "./api";
import { getUserId } from "./session";

type Query = { limit: number; cursor?: string };
type Page<Item> = { items: Item[]; next_cursor: string | null };
type Result<Data> = { data?: Data; error?: Problem; response: Response };

/** The caller's workspaces, each with the caller's role in it. */
export const listWorkspaces = () => everyPage((query) => api.GET("/workspaces", { params: { query } }));

export const listMembers = (workspace_id: string) =>
  everyPage((query) => api.GET("/workspaces/{workspace_id}/members", { params: { path: { workspace_id }, query } }));

export async function createWorkspace(name: string): Promise<Workspace> {
  const params = { header: { "Idempotency-Key": crypto.randomUUID() } };
  return unwrap(await persistently(() => api.POST("/workspaces", { params, body: { name } })));
}

/** Invite somebody; return the link to send them. The token in it is in no other response: the API keeps its hash. */
export async function invite(workspace_id: string, role: Role): Promise<string> {
  const params = { path: { workspace_id }, header: { "Idempotency-Key": crypto.randomUUID() } };
  const send = () => api.POST("/workspaces/{workspace_id}/invitations", { params, body: { role } });
  const { id, token } = unwrap(await persistently(send));
  // Behind the #, so that it is in no log: a browser does not send that part to any server. The id comes last, because
  // a token may end in - or _, which some programs leave out of a link.
  if (token) return `${location.origin}/join#${token}.${workspace_id}`;

  // The first response was lost, and the token with it: this one repeats the rest.
  await revoke(workspace_id, id);
  return invite(workspace_id, role);
}

export async function revoke(workspace_id: string, invitation_id: string): Promise<void> {
  const params = { path: { workspace_id, invitation_id } };
  unwrap(await api.DELETE("/workspaces/{workspace_id}/invitations/{invitation_id}", { params }));
}

/** Accept the invitation of a link: `hash` is the part from # on. Whoever is a member already gets the workspace, too. */
export async function accept(hash: string): Promise<Workspace> {
  const [token = "", workspace_id = ""] = hash.slice(1).split(".");
  const result = await persistently(() => api.POST("/invitations/accept", { body: { token } }));
  if ([404, 409].includes(result.response.status)) {
    // A second click, or a second attempt because the first response was lost: the token has been used, by this user.
    const joined = await api.GET("/workspaces/{workspace_id}", { params: { path: { workspace_id } } });
    if (joined.data) return joined.data;
  }
  return unwrap(result);
}

/** Change a member's role, provided that nobody has changed it since it was shown. */
export async function changeRole(workspace_id: string, member: Member, role: Role): Promise<void> {
  const path = { workspace_id, user_id: member.user_id };
  const params = { path, header: { "If-Match": `"${member.updated_at}"` } };
  unwrap(await api.PATCH("/workspaces/{workspace_id}/members/{user_id}", { params, body: { role } }));
}

export async function removeMember(workspace_id: string, user_id: string): Promise<void> {
  const params = { path: { workspace_id, user_id } };
  unwrap(await api.DELETE("/workspaces/{workspace_id}/members/{user_id}", { params }));
}

export const leave = async (workspace_id: string) => removeMember(workspace_id, await getUserId());

export async function deleteWorkspace(workspace_id: string): Promise<void> {
  unwrap(await api.DELETE("/workspaces/{workspace_id}", { params: { path: { workspace_id } } }));
}

async function everyPage<Item>(get: (query: Query) => Promise<Result<Page<Item>>>): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const query = { limit: 200, ...(cursor && { cursor }) };
    const page: Page<Item> = unwrap(await persistently(() => get(query)));
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}
