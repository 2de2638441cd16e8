// PostGraphile 5: the recommended preset on Node's own HTTP server, and what its guide on JWTs says: verify the token
// yourself, and pass what the policies need to PostgreSQL as pgSettings (https://postgraphile.org/postgraphile/5/jwt-guide).
// It makes the GraphQL API from the schema `app`; load.lua and check.py send it GraphQL.

import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const POOL_SIZE = 10;

// All that PostGraphile misses in Node 20.
Promise.withResolvers ??= function withResolvers() {
  const deferred = {};
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};

function userId(authorization) {
  try {
    return jwt.verify(authorization?.replace(/^Bearer /, ""), process.env.JWT_SECRET, { algorithms: ["HS256"] }).sub;
  } catch (error) {
    throw Object.assign(error, { statusCode: 401 });
  }
}

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ pool: new pg.Pool({ max: POOL_SIZE }), schemas: ["app"] })],
  grafast: {
    context: ({ node }) => ({ pgSettings: { "app.user_id": userId(node.req.headers.authorization) } }),
  },
  grafserv: { graphiql: false },
};

const server = createServer();
await postgraphile(preset).createServ(grafserv).addTo(server);
server.listen(Number(process.env.PORT), "127.0.0.1");
