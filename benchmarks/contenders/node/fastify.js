// The API on Fastify. As its documentation recommends, JSON Schema validates what comes in
// (https://fastify.dev/docs/latest/Reference/Validation-and-Serialization/) and @fastify/jwt verifies the token, with the
// cache that its page says to improve performance dramatically.
//
// PostgreSQL builds the JSON, as it does for Partywall: a page takes half of the time that rows and Fastify's serializer do.

import Fastify from "fastify";
import jwt from "@fastify/jwt";

export const POOL_SIZE = 10;

const COLUMNS = 'id, user_id, text, completed, "order", created_at, updated_at, completed_at';
// Each returns one row with JSON, or none. node-postgres prepares a statement that has a name.
export const STATEMENTS = {
  list: `
    select coalesce(json_agg(task)::text, '[]') as items, to_json((array_agg(task.id))[$1])::text as next_cursor
    from (select ${COLUMNS} from app.tasks order by id desc limit $1::int) as task`,
  read: `select to_json(task)::text as body from (select ${COLUMNS} from app.tasks where id = $1) as task`,
  create: `
    with task as (insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning ${COLUMNS})
    select to_json(task)::text as body from task`,
  change: `
    with task as (
      update app.tasks
      set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
      where id = $1
      returning ${COLUMNS}
    )
    select to_json(task)::text as body from task`,
};

const what = {
  text: { type: "string", minLength: 1, maxLength: 500 },
  completed: { type: "boolean" },
  order: { type: "integer" },
};
const body = { type: "object", properties: what };
const params = { type: "object", properties: { id: { type: "string", format: "uuid" } } };
const querystring = { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 200, default: 50 } } };

/** Serve the routes; `run(userId, statement, values)` returns the row of one of STATEMENTS, in a transaction of the user. */
export async function serve(run) {
  const app = Fastify();
  await app.register(jwt, { secret: process.env.JWT_SECRET, verify: { algorithms: ["HS256"], cache: true } });
  app.addHook("onRequest", (request) => request.jwtVerify());

  app.get("/tasks", { schema: { querystring } }, async (request, reply) => {
    const { items, next_cursor } = await run(request.user.sub, "list", [request.query.limit]);
    return respond(reply, 200, { body: `{"items":${items},"next_cursor":${next_cursor}}` });
  });

  app.get("/tasks/:id", { schema: { params } }, async (request, reply) =>
    respond(reply, 200, await run(request.user.sub, "read", [request.params.id])));

  app.post("/tasks", { schema: { body: { ...body, required: ["text"] } } }, async (request, reply) => {
    const { text, completed = false, order = 0 } = request.body;
    return respond(reply, 201, await run(request.user.sub, "create", [text, completed, order]));
  });

  app.patch("/tasks/:id", { schema: { params, body } }, async (request, reply) => {
    const { text = null, completed = null, order = null } = request.body;
    return respond(reply, 200, await run(request.user.sub, "change", [request.params.id, text, completed, order]));
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}

function respond(reply, status, row) {
  reply.code(row ? status : 404).type("application/json");
  return row?.body ?? '{"message":"Task not found"}';
}
