// For `npx openapi-ts`: a client by Hey API, and schemas of zod for what is sent and received.
import type { UserConfig } from "@hey-api/openapi-ts";

export default {
  input: "http://127.0.0.1:8000/openapi.json",
  output: "lib/hey-api",
  plugins: [
    "@hey-api/client-fetch",
    "@hey-api/sdk",
    { name: "zod", dates: { offset: true } }, // times end in +00:00; zod alone expects Z
  ],
} satisfies UserConfig;
