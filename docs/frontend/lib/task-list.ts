// What a page shows: the tasks as the API has them, with the edits on top that are still under way. A refused edit is
// taken off again, and its promise rejects with the sentence to show.
import { ApiError, persistently, unwrap, type Task, type TaskUpdate } from "./api";
import { ownTasks, type TaskRequests } from "./task-requests";

type Edit = (tasks: Task[]) => Task[];
type Place = Pick<Task, "id" | "order">;

const MOST_AT_ONCE = 500; // of PATCH /tasks
const HIGHEST = 2 ** 31 - 1;

export class TaskList {
  #tasks = new Map<string, Task>(); // as the API has them
  #edits: Edit[] = []; // under way
  #lastTurn: Promise<unknown> = Promise.resolve();
  #cursor: string | null = null;
  #end: Place | undefined; // where the last page ended; undefined when there is no more
  #shown: readonly Task[] = [];
  #listeners = new Set<() => void>();
  #requests: TaskRequests;

  /** A list of the user's own tasks, or of a workspace's: `new TaskList(tasksOf(workspace_id))`. */
  constructor(requests = ownTasks) {
    this.#requests = requests;
  }

  /** For useSyncExternalStore of React, as `snapshot` is. */
  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  snapshot = () => this.#shown;

  /** Load the first page, or the next one. Returns whether there are more. */
  load(): Promise<boolean> {
    return this.#inTurn(async () => {
      const query = { sort: "order", ...(this.#cursor && { cursor: this.#cursor }) } as const;
      const page = unwrap(await persistently(() => this.#requests.list(query)));
      for (const task of page.items) this.#keep(task);
      this.#cursor = page.next_cursor;
      this.#end = page.next_cursor === null ? undefined : page.items.at(-1);
      this.#show();
      return this.#cursor !== null;
    });
  }

  add(text: string): Promise<void> {
    const key = crypto.randomUUID(); // the same for each attempt: there will be one task, however often it is sent
    const order = Math.min(HIGHEST, (this.#shown.at(-1)?.order ?? 0) + 10);
    const times = { created_at: "", updated_at: "", completed_at: null };
    const draft: Task = { id: key, user_id: "", text, completed: false, order, ...times };
    return this.#edit((tasks) => [...tasks, draft], async () => {
      this.#keep(unwrap(await persistently(() => this.#requests.create({ text, order }, key))));
    });
  }

  /** Change a task, provided that nobody has changed it since it was shown. */
  change(id: string, change: TaskUpdate): Promise<void> {
    const edit: Edit = (tasks) => tasks.map((task) => (task.id === id ? { ...task, ...change } : task));
    return this.#edit(edit, async () => {
      const result = await this.#requests.change(id, this.#etag(id), change);
      await this.#refresh(id, result.response);
      this.#keep(unwrap(result));
    });
  }

  remove(id: string): Promise<void> {
    return this.#edit((tasks) => tasks.filter((task) => task.id !== id), async () => {
      const result = await this.#requests.remove(id, this.#etag(id));
      await this.#refresh(id, result.response);
      unwrap(result);
      this.#tasks.delete(id);
    });
  }

  /** After drag and drop: give these tasks this order, among the places that they have. All others stay where they are. */
  move(ids: string[]): Promise<void> {
    const edit: Edit = (tasks) => {
      const orders = reorder(tasks.filter((task) => task.user_id), ids, this.#end); // without drafts
      return tasks.map((task) => ({ ...task, order: orders.get(task.id) ?? task.order }));
    };
    return this.#edit(edit, async () => {
      const orders = reorder([...this.#tasks.values()], ids, this.#end);
      const changes = [...orders].map(([id, order]) => ({ id, order }));
      while (changes.length > 0) {
        const tasks = changes.splice(0, MOST_AT_ONCE);
        const result = await persistently(() => this.#requests.move(tasks));
        if (result.response.status === 404) this.#forget(tasks, result.error);
        for (const task of unwrap(result).items) this.#keep(task);
      }
    });
  }

  /** Send one thing after the other: an edit never conflicts with the one before it, and no response is out of order. */
  #inTurn<Result>(send: () => Promise<Result>): Promise<Result> {
    const sent = this.#lastTurn.then(send);
    this.#lastTurn = sent.catch(() => {});
    return sent;
  }

  /** Show an edit, send it, and show what has become of it. */
  async #edit(edit: Edit, send: () => Promise<void>): Promise<void> {
    this.#edits.push(edit);
    this.#show();
    try {
      await this.#inTurn(send);
    } finally {
      this.#edits.splice(this.#edits.indexOf(edit), 1);
      this.#show();
    }
  }

  /** Return the ETag of a task as the API has it, as far as is known here. */
  #etag(id: string): string {
    return `"${this.#tasks.get(id)?.updated_at}"`;
  }

  /** After a conflict, take what the API has now. */
  async #refresh(id: string, { status }: Response): Promise<void> {
    if (status === 404) this.#tasks.delete(id);
    if (status !== 412) return;
    const now = await persistently(() => this.#requests.read(id));
    if (now.response.status === 404) this.#tasks.delete(id);
    else this.#keep(unwrap(now));
  }

  /** Take off the tasks of a change of several that do not exist any more: `#/tasks/0/id` is the first one. */
  #forget(tasks: Place[], problem: ApiError["problem"] | undefined): void {
    for (const { pointer } of problem?.errors ?? []) {
      const task = tasks[Number(pointer?.split("/")[2])];
      if (task) this.#tasks.delete(task.id);
    }
  }

  #keep(task: Task): void {
    this.#tasks.set(task.id, task);
  }

  #show(): void {
    const tasks = this.#edits.reduce((tasks, edit) => edit(tasks), [...this.#tasks.values()]);
    this.#shown = tasks.sort(byPlace);
    for (const listener of this.#listeners) listener();
  }
}

/** As the API sorts: ties go by age, which is in the id. */
function byPlace(a: Place, b: Place): number {
  return a.order - b.order || (a.id < b.id ? -1 : 1);
}

/**
 * Return the orders that change when the tasks of these ids take each other's places, in this order.
 *
 * The orders that are there are handed out anew. Where several tasks have the same one, those in front get a smaller one.
 * Nothing goes beyond `end`: behind it are tasks that are not loaded.
 */
export function reorder(tasks: readonly Place[], ids: string[], end?: Place): Map<string, number> {
  const before = [...tasks].sort(byPlace);
  const named = new Map(before.map((task) => [task.id, task]));
  const moving = [...new Set(ids)].flatMap((id) => named.get(id) ?? []);
  const isMoving = new Set(moving);
  const after = before.map((task) => (isMoving.has(task) ? moving.shift()! : task));

  const orders = new Map<string, number>();
  let next = end;
  let isStill = true; // behind the last task that moves
  for (let place = before.pop(), task = after.pop(); place && task; place = before.pop(), task = after.pop()) {
    isStill &&= task === place;
    if (isStill) {
      next = next && byPlace(next, task) < 0 ? next : task;
      continue;
    }
    const highest = next ? next.order - (task.id <= next.id ? 0 : 1) : HIGHEST;
    next = { id: task.id, order: Math.min(place.order, highest) };
    if (next.order !== task.order) orders.set(task.id, next.order);
  }
  return orders;
}
