// Mounts a page once somebody has signed in: /, /workspaces or /join.
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { Join } from "./app/join";
import { Tasks } from "./app/tasks";
import { Workspaces } from "./app/workspaces";
import { signIn } from "./lib/session";
import { TaskList } from "./lib/task-list";

const PAGES: Record<string, () => ReactNode> = {
  "/": () => <Tasks list={new TaskList()} />,
  "/workspaces": () => <Workspaces />,
  "/join": () => <Join onJoined={() => go("/workspaces")} />,
};
const root = createRoot(document.getElementById("root")!);
const show = () => root.render(PAGES[location.pathname]!());

function go(path: string) {
  history.replaceState(null, "", path); // as router.replace() of Next.js: the token is no longer in the address
  show();
}

Object.assign(window, {
  async start(email: string, password: string) {
    const { error } = await signIn(email, password);
    if (error) throw new Error(error.message ?? "no sign-in");
    show();
  },
  show, // to whoever has signed in before
});
