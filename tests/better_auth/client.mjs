// The client that docs/frontend.md shows.
import { createAuthClient } from "better-auth/client";
import { jwtClient } from "better-auth/client/plugins";

export const createClient = (authURL, apiURL, fetchOptions) => {
  const authClient = createAuthClient({ baseURL: authURL, plugins: [jwtClient()], fetchOptions });
  let token;

  const renew = async () => {
    const { data, error } = await authClient.token();
    if (error) throw new Error("sign in again", { cause: error });
    token = data.token;
  };

  // A token lasts for 15 minutes, the session for a week: a 401 means that it is time for the next token.
  const call = async (path, init = {}) => {
    const send = () => fetch(apiURL + path, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
    if (!token) await renew();
    const response = await send();
    if (response.status !== 401) return response;
    await renew();
    return send();
  };

  return { authClient, call };
};
