// For `npx orval`: schemas of zod for what is sent and received.
module.exports = {
  tasks: {
    input: "http://127.0.0.1:8000/openapi.json",
    output: {
      target: "lib/orval.ts",
      client: "zod",
      override: { zod: { dateTimeOptions: { offset: true } } }, // times end in +00:00; zod alone expects Z
    },
  },
};
