// A browser of the fewest words: signs in, adds a task, lists all, and prints them. Its token is bad at first.
import { createClient } from "./client.mjs";

const [authURL, apiURL, email, password] = process.argv.slice(2);
const cookies = new Map();
let tokens = 0;

const customFetchImpl = async (url, init) => {
  const headers = new Headers(init.headers);
  headers.set("Origin", authURL);
  headers.set("Cookie", [...cookies].map((pair) => pair.join("=")).join("; "));
  const response = await fetch(url, { ...init, headers });
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(";")[0].split(/=(.*)/s);
    cookies.set(name, value);
  }
  const stale = String(url).endsWith("/token") && tokens++ === 0;
  return stale ? Response.json({ token: "stale" }) : response;
};

const { authClient, call } = createClient(authURL, apiURL, { customFetchImpl });

const { error } = await authClient.signIn.email({ email, password });
if (error) throw new Error(JSON.stringify(error));

const headers = { "Content-Type": "application/json" };
const created = await call("/tasks", { method: "POST", headers, body: JSON.stringify({ text: "Buy milk" }) });
const listed = await call("/tasks");
console.log(JSON.stringify({ tokens, created: created.status, ...(await listed.json()) }));
