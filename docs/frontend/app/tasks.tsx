"use client";
import { useEffect, useState, useSyncExternalStore } from "react";
import type { TaskList } from "../lib/task-list";

type Props = {
  list: TaskList;
  canWrite?: boolean; // as a viewer of a workspace cannot
  attempt?: (action: Promise<unknown>) => void; // shows what is refused, where the page has a place for it
};

export function Tasks({ list, canWrite = true, ...props }: Props) {
  const tasks = useSyncExternalStore(list.subscribe, list.snapshot, list.snapshot);
  const [problem, setProblem] = useState("");
  const [hasMore, setHasMore] = useState(false);
  const [dragged, setDragged] = useState("");
  const showHere = (action: Promise<unknown>) => {
    setProblem("");
    action.catch((error: Error) => setProblem(error.message));
  };
  const attempt = props.attempt ?? showHere;
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
      {canWrite && (
        <form action={(form: FormData) => attempt(list.add(String(form.get("text"))))}>
          <input name="text" aria-label="What to do" />
        </form>
      )}
      <ul>
        {tasks.map(({ id, user_id, text, completed }) => (
          <li
            key={id}
            draggable={canWrite && !!user_id} // else it is not there yet
            onDragStart={() => setDragged(id)}
            onDragOver={(event) => event.preventDefault()}
            onDrop={() => id !== dragged && dropBefore(id)}
          >
            <label>
              <input
                type="checkbox"
                checked={completed}
                disabled={!canWrite || !user_id}
                onChange={() => attempt(list.change(id, { completed: !completed }))}
              />
              {text}
            </label>
            {canWrite && <button onClick={() => attempt(list.remove(id))}>Delete</button>}
          </li>
        ))}
      </ul>
      {hasMore && <button onClick={load}>More</button>}
    </>
  );
}
