// Fastify and node-postgres, with a pool, named statements and a transaction on one client, as its documentation
// recommends (https://node-postgres.com/features/transactions). The caller is set in the message that begins, which saves
// a round trip. TUNED=true sends all of a transaction at once (https://node-postgres.com/features/pipelining), and has
// PostgreSQL build the JSON.

import pg from "pg";
import { POOL_SIZE, serve } from "./fastify.js";

const tuned = process.env.TUNED === "true";
const pool = new pg.Pool({ max: POOL_SIZE, pipeline: tuned });

function beginning(userId) {
  return `begin; set local app.user_id = ${pg.escapeLiteral(userId)}`;
}

async function inTurn(client, userId, query) {
  try {
    await client.query(beginning(userId));
    const { rows } = await client.query(query);
    await client.query("commit");
    return rows;
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

// All of them end, whichever fails; after a failed statement, `commit` rolls back.
async function atOnce(client, userId, query) {
  const sent = [client.query(beginning(userId)), client.query(query), client.query("commit")];
  await Promise.allSettled(sent);
  const [, { rows }] = await Promise.all(sent);
  return rows;
}

const transaction = tuned ? atOnce : inTurn;

async function run(userId, query) {
  const client = await pool.connect();
  try {
    return await transaction(client, userId, query);
  } finally {
    client.release();
  }
}

await serve(run, { json: tuned });
