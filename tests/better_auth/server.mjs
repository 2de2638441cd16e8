// Serves Better Auth on a free port, and prints its address when it is ready.
import { createServer } from "node:http";
import { toNodeHandler } from "better-auth/node";
import { createAuth } from "./auth.mjs";

const server = createServer();

server.listen(0, "127.0.0.1", () => {
  const baseURL = `http://127.0.0.1:${server.address().port}`;
  const auth = createAuth(baseURL);
  const handler = toNodeHandler(auth);

  server.on("request", async (request, response) => {
    const url = new URL(request.url, baseURL);
    if (url.pathname !== "/expire-key") return handler(request, response);

    // What the calendar does: this key's rotationInterval was over so many seconds ago.
    const expiresAt = new Date(Date.now() - 1000 * Number(url.searchParams.get("ago")));
    const { adapter } = await auth.$context;
    const where = [{ field: "id", value: url.searchParams.get("kid") }];
    await adapter.update({ model: "jwks", where, update: { expiresAt } });
    response.writeHead(204).end();
  });
  console.log(baseURL);
});
