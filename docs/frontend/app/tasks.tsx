"use client";
import { useEffect, useState, useSyncExternalStore } from "react";
import type { TaskList } from "../lib/task-list";

export function Tasks({ list }: { list: TaskList }) {
  const tasks = useSyncExternalStore(list.subscribe, list.snapshot, list.snapshot);
  const [problem, setProblem] = useState("");
  const [hasMore, setHasMore] = useState(false);
  const [dragged, setDragged] = useState("");
  const attempt = (action: Promise<unknown>) => {
    setProblem("");
    action.catch((error: Error) => setProblem(error.message));
  };
  const load = () => attempt(list.load().then(setHasMore));
  const dropBefore = (id: string) => {
    const ids = tasks.map((task) => task.id).filter((each) => each !== dragged);
    ids.splice(ids.indexOf(id), 0, dragged);
    attempt(list.move(ids));
  };
  useEffect(load, [list]);

  return (
    <>
      {problem && <p role="alert">{problem}</p>}
      <form action={(form: FormData) => attempt(list.add(String(form.get("text"))))}>
        <input name="text" aria-label="What to do" />
      </form>
      <ul>
        {tasks.map(({ id, user_id, text, completed }) => (
          <li
            key={id}
            draggable={!!user_id} // else it is not there yet
            onDragStart={() => setDragged(id)}
            onDragOver={(event) => event.preventDefault()}
            onDrop={() => id !== dragged && dropBefore(id)}
          >
            <label>
              <input
                type="checkbox"
                checked={completed}
                disabled={!user_id}
                onChange={() => attempt(list.change(id, { completed: !completed }))}
              />
              {text}
            </label>
            <button onClick={() => attempt(list.remove(id))}>Delete</button>
          </li>
        ))}
      </ul>
      {hasMore && <button onClick={load}>More</button>}
    </>
  );
}
