// A browser of the fewest words: it keeps cookies, and its network can fail.
const origin = process.env.NEXT_PUBLIC_AUTH_URL!;
const cookies = new Map<string, string>();
const network = globalThis.fetch;

type Send = () => Promise<Response>;
export const faults: ((send: Send) => Promise<Response>)[] = []; // of the next writes
export const sent: string[] = [];

globalThis.fetch = async (input, init) => {
  const request = new Request(input, init);
  const headers = new Headers(request.headers);
  if (request.url.startsWith(origin)) {
    headers.set("Origin", origin);
    headers.set("Cookie", [...cookies].map((pair) => pair.join("=")).join("; "));
  }
  const send = async () => {
    const response = await network(request, { headers });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
      cookies.set(name!, value!);
    }
    return response;
  };
  const fault = request.url.startsWith(origin) || request.method === "GET" ? undefined : faults.shift();
  const response = await (fault ? fault(send) : send());
  sent.push(`${request.method} ${response.status}`);
  return response;
};

export const lost = async (send: Send) => {
  await send();
  throw new TypeError("fetch failed");
};
export const busy = async () => Response.json({ status: 503, detail: "Busy." }, { status: 503 });
export const expired = async () => Response.json({ status: 401, detail: "Expired." }, { status: 401 });
