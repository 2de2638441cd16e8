import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

const authClient = createAuthClient({ baseURL: process.env.NEXT_PUBLIC_AUTH_URL!, plugins: [jwtClient()] });
let token: string | undefined;

export const signIn = (email: string, password: string) => authClient.signIn.email({ email, password });

export async function getToken({ renew = false } = {}): Promise<string> {
  if (!token || renew) {
    const { data, error } = await authClient.token();
    if (error) throw new Error("Sign in again.", { cause: error });
    token = data.token;
  }
  return token;
}

/** The user's id: `sub` of the token, and `user_id` of the API. */
export async function getUserId(): Promise<string> {
  const { data, error } = await authClient.getSession();
  if (!data) throw new Error("Sign in again.", { cause: error });
  return data.user.id;
}

export function signOut() {
  token = undefined;
  return authClient.signOut();
}
