// The configuration that docs/frontend.md shows.
import { betterAuth } from "better-auth";
import { jwt } from "better-auth/plugins";

export const AUDIENCE = "https://api.example.com";
const DAY = 24 * 60 * 60;

export const createAuth = (baseURL) =>
  betterAuth({
    baseURL,
    secret: process.env.BETTER_AUTH_SECRET,
    // No database: Better Auth keeps everything in memory. Yours has one here.
    emailAndPassword: { enabled: true },
    plugins: [
      jwt({
        jwks: { rotationInterval: 30 * DAY, gracePeriod: DAY },
        jwt: {
          audience: AUDIENCE, // JWT_AUDIENCE; `iss` is baseURL: JWT_ISSUER
          definePayload: () => ({}), // without it the whole user is in the token, e-mail address and all
        },
      }),
    ],
  });
