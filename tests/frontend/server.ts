// Serves Better Auth on a free port, and the pages beside it; prints its address when it is ready.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeHandler } from "better-auth/node";

const PAGE: [type: string, file: string] = ["text/html", "page.html"];
const FILES: Record<string, [type: string, file: string]> = {
  "/": PAGE,
  "/workspaces": PAGE,
  "/join": PAGE,
  "/page.js": ["text/javascript", "dist/page.js"],
};
const server = createServer();

server.listen(0, "127.0.0.1", async () => {
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.BETTER_AUTH_URL = `${baseURL}/api/auth`; // with a path, so that it is not what its tokens have as `iss`
  const { auth } = await import("./lib/auth"); // now that it knows its address
  const handler = toNodeHandler(auth);

  server.on("request", async (request, response) => {
    const url = new URL(request.url!, baseURL);
    const file = FILES[url.pathname];
    if (file) {
      const content = await readFile(file[1]);
      return response.writeHead(200, { "Content-Type": file[0] }).end(content);
    }
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
