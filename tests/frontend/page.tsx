// Mounts the page once somebody has signed in.
import { createRoot } from "react-dom/client";
import { Tasks } from "./app/tasks";
import { signIn } from "./lib/session";
import { TaskList } from "./lib/task-list";

Object.assign(window, {
  async start(email: string, password: string) {
    const { error } = await signIn(email, password);
    if (error) throw new Error(error.message ?? "no sign-in");
    createRoot(document.getElementById("root")!).render(<Tasks list={new TaskList()} />);
  },
});
