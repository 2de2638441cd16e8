// The API on Fastify. As its documentation recommends, JSON Schema validates what comes in and compiles what goes out
// (https://fastify.dev/docs/latest/Reference/Validation-and-Serialization/), and @fastify/jwt verifies the token, with the
// cache that its page says to improve performance dramatically.
//
// With `json`, PostgreSQL builds the JSON instead, as it does for Partywall. That is in no documentation, but faster.

import Fastify from "fastify";
import jwt from "@fastify/jwt";

export const POOL_SIZE = 10;

const COLUMNS = 'id, user_id, text, completed, "order", created_at, updated_at, completed_at';
// node-postgres prepares a statement that has a name; postgres.js prepares all.
const ROWS = {
  list: `select ${COLUMNS} from app.tasks order by id desc limit $1`,
  read: `select ${COLUMNS} from app.tasks where id = $1`,
  create: `insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning ${COLUMNS}`,
  change: `
    update app.tasks
    set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
    where id = $1
    returning ${COLUMNS}`,
};
const asJson = (statement) => `with task as (${statement}) select to_json(task)::text as json from task`;
const JSON_TEXTS = {
  list: `
    select coalesce(json_agg(task)::text, '[]') as items, to_json((array_agg(task.id))[$1])::text as next_cursor
    from (select ${COLUMNS} from app.tasks order by id desc limit $1::int) as task`,
  read: asJson(ROWS.read),
  create: asJson(ROWS.create),
  change: asJson(ROWS.change),
};

const uuid = { type: "string", format: "uuid" };
const time = { type: "string", format: "date-time" };
const what = {
  text: { type: "string", minLength: 1, maxLength: 500 },
  completed: { type: "boolean" },
  order: { type: "integer" },
};
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
const body = { type: "object", properties: what };
const params = { type: "object", properties: { id: uuid } };
const querystring = { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 200, default: 50 } } };

/** Serve the routes; `run(userId, { name, text, values })` returns the rows of a statement, in a transaction of the user. */
export async function serve(run, { json = false } = {}) {
  const app = Fastify();
  await app.register(jwt, { secret: process.env.JWT_SECRET, verify: { algorithms: ["HS256"], cache: true } });
  app.addHook("onRequest", (request) => request.jwtVerify());

  const texts = json ? JSON_TEXTS : ROWS;
  const fetch = (request, name, values) => run(request.user.sub, { name, text: texts[name], values });
  const answers = (status, schema) => (json ? {} : { response: { [status]: schema } });

  const list = json
    ? ([{ items, next_cursor }], _limit, reply) =>
        reply.type("application/json").send(`{"items":${items},"next_cursor":${next_cursor}}`)
    : (items, limit) => ({ items, next_cursor: items.length === limit ? items[limit - 1].id : null });

  const one = (reply, status, [row]) => {
    reply.code(row ? status : 404);
    if (json && row) reply.type("application/json");
    return (json ? row?.json : row) ?? { message: "Task not found" };
  };

  app.get("/tasks", { schema: { querystring, ...answers(200, page) } }, async (request, reply) =>
    list(await fetch(request, "list", [request.query.limit]), request.query.limit, reply));

  app.get("/tasks/:id", { schema: { params, ...answers(200, task) } }, async (request, reply) =>
    one(reply, 200, await fetch(request, "read", [request.params.id])));

  const create = { ...body, required: ["text"] };
  app.post("/tasks", { schema: { body: create, ...answers(201, task) } }, async (request, reply) => {
    const { text, completed = false, order = 0 } = request.body;
    return one(reply, 201, await fetch(request, "create", [text, completed, order]));
  });

  app.patch("/tasks/:id", { schema: { params, body, ...answers(200, task) } }, async (request, reply) => {
    const { text = null, completed = null, order = null } = request.body;
    return one(reply, 200, await fetch(request, "change", [request.params.id, text, completed, order]));
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}
