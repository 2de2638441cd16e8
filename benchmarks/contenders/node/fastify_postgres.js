// Fastify and postgres.js. Its documentation's way to send what belongs to one transaction without waiting in between is
// to return an array from the function given to `sql.begin()` (https://github.com/porsager/postgres#transactions).

import postgres from "postgres";
import { POOL_SIZE, serve } from "./fastify.js";

const database = postgres({ max: POOL_SIZE });

await serve(async (userId, { text, values }) => {
  const [, rows] = await database.begin((sql) => [
    sql`select set_config('app.user_id', ${userId}, true)`,
    sql.unsafe(text, values, { prepare: true }),
  ]);
  return rows;
});
