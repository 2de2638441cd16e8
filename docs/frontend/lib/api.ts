import createClient from "openapi-fetch";
import type { components, paths } from "./schema";
import { getToken } from "./session";

export type Task = components["schemas"]["Task"];
export type TaskCreate = components["schemas"]["TaskCreate"];
export type TaskUpdate = components["schemas"]["TaskUpdate"];
export type Workspace = components["schemas"]["Workspace"];
export type Member = components["schemas"]["Member"];
export type Role = Member["role"];
export type Problem = components["schemas"]["Problem"];

/** What the API refused. `message` is a sentence for a person; `problem.errors` says which fields are wrong. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

const BOOKMARK = "Partywall-Bookmark";
let bookmark = 0; // of the last write: a read that sends it sees that write, whichever database serves it

async function fetchAsUser(request: Request): Promise<Response> {
  const send = (token: string) => {
    const copy = request.clone(); // a body can be sent once only
    copy.headers.set("Authorization", `Bearer ${token}`);
    if (bookmark && request.method === "GET") copy.headers.set(BOOKMARK, String(bookmark));
    return fetch(copy);
  };
  let response = await send(await getToken());
  if (response.status === 401) response = await send(await getToken({ renew: true }));
  bookmark = Math.max(bookmark, Number(response.headers.get(BOOKMARK)));
  return response;
}

export const api = createClient<paths>({ baseUrl: process.env.NEXT_PUBLIC_API_URL!, fetch: fetchAsUser });

/** Return the data of a response; throw the problem of one that failed. */
export function unwrap<Data>(result: { data?: Data; error?: Problem }): Data {
  if (result.error) throw new ApiError(result.error);
  return result.data as Data;
}

/** Send once more when the response was lost or the API was busy. For what may be repeated: reads, and with a key. */
export async function persistently<Result extends { response: Response }>(send: () => Promise<Result>): Promise<Result> {
  const result = await send().catch(() => undefined);
  if (result && ![429, 503].includes(result.response.status)) return result;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return send();
}
