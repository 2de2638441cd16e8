// The API on Fastify, as its documentation recommends: JSON Schema validates what comes in and compiles what goes out
// (https://fastify.dev/docs/latest/Reference/Validation-and-Serialization/), and @fastify/jwt verifies the token, with
// the cache that its page says to improve performance dramatically.

import Fastify from "fastify";
import jwt from "@fastify/jwt";

export const POOL_SIZE = 10;

const COLUMNS = 'id, user_id, text, completed, "order", created_at, updated_at, completed_at';
// Each has a name: node-postgres prepares what is named; postgres.js prepares everything.
export const STATEMENTS = {
  list: `select ${COLUMNS} from app.tasks order by id desc limit $1`,
  read: `select ${COLUMNS} from app.tasks where id = $1`,
  create: `insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning ${COLUMNS}`,
  change: `
    update app.tasks
    set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
    where id = $1
    returning ${COLUMNS}`,
};

const text = { type: "string", minLength: 1, maxLength: 500 };
const uuid = { type: "string", format: "uuid" };
const time = { type: "string", format: "date-time" };
const what = { text, completed: { type: "boolean" }, order: { type: "integer" } };
const task = {
  type: "object",
  properties: {
    id: uuid,
    user_id: { type: "string" },
    ...what,
    created_at: time,
    updated_at: time,
    completed_at: { ...time, nullable: true },
  },
};
const page = {
  type: "object",
  properties: { items: { type: "array", items: task }, next_cursor: { ...uuid, nullable: true } },
};
const querystring = { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 200, default: 50 } } };
const params = { type: "object", properties: { id: uuid } };

/** Serve the routes; `run(userId, statement, values)` returns the rows of one of STATEMENTS, in a transaction of the user. */
export async function serve(run) {
  const app = Fastify();
  await app.register(jwt, { secret: process.env.JWT_SECRET, verify: { algorithms: ["HS256"], cache: true } });
  app.addHook("onRequest", (request) => request.jwtVerify());

  app.get("/tasks", { schema: { querystring, response: { 200: page } } }, async (request) => {
    const { limit } = request.query;
    const items = await run(request.user.sub, "list", [limit]);
    return { items, next_cursor: items.length === limit ? items[limit - 1].id : null };
  });

  app.get("/tasks/:id", { schema: { params, response: { 200: task } } }, async (request, reply) =>
    found(await run(request.user.sub, "read", [request.params.id]), reply));

  const create = { type: "object", required: ["text"], properties: what };
  app.post("/tasks", { schema: { body: create, response: { 201: task } } }, async (request, reply) => {
    const { text, completed = false, order = 0 } = request.body;
    reply.code(201);
    return found(await run(request.user.sub, "create", [text, completed, order]), reply);
  });

  const change = { type: "object", properties: what };
  app.patch("/tasks/:id", { schema: { params, body: change, response: { 200: task } } }, async (request, reply) => {
    const { text = null, completed = null, order = null } = request.body;
    return found(await run(request.user.sub, "change", [request.params.id, text, completed, order]), reply);
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}

function found([row], reply) {
  if (!row) reply.code(404);
  return row ?? { message: "Task not found" };
}
