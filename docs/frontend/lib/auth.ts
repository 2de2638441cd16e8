import { betterAuth } from "better-auth";
import { jwt } from "better-auth/plugins";

const DAY = 24 * 60 * 60;

export const auth = betterAuth({
  // database: yours. Without one Better Auth keeps everything in memory.
  emailAndPassword: { enabled: true },
  plugins: [
    jwt({
      jwks: { rotationInterval: 30 * DAY, gracePeriod: DAY },
      jwt: {
        audience: "https://api.example.com",
        definePayload: () => ({}), // without it the whole user is in the token, e-mail address and all
      },
    }),
  ],
});
