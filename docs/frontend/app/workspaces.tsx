"use client";
import { useEffect, useState } from "react";
import type { Member, Role, Workspace } from "../lib/api";
import { TaskList } from "../lib/task-list";
import { tasksOf } from "../lib/task-requests";
import * as workspaces from "../lib/workspaces";
import { Tasks } from "./tasks";

const ROLES: Role[] = ["viewer", "editor", "owner"];
type Attempt = (action: Promise<unknown>) => void;

export function Workspaces() {
  const [mine, setMine] = useState<Workspace[]>([]);
  const [openId, setOpenId] = useState("");
  const [problem, setProblem] = useState("");
  const load = () => workspaces.listWorkspaces().then(setMine);
  const show = (error: Error) => setProblem(error.message);
  // After each action, also one that was refused: the caller may have another role now, or be no member any more.
  const attempt: Attempt = (action) => {
    setProblem("");
    action.catch(show).then(load).catch(show);
  };
  const open = mine.find(({ id }) => id === openId);
  useEffect(() => void load().catch(show), []);

  return (
    <>
      {problem && <p role="alert">{problem}</p>}
      <form action={(form: FormData) => attempt(workspaces.createWorkspace(String(form.get("name"))))}>
        <input name="name" aria-label="New workspace" />
      </form>
      <nav>
        {mine.map(({ id, name, role }) => (
          <button key={id} onClick={() => setOpenId(id)}>
            {name}, {role}
          </button>
        ))}
      </nav>
      {open && <OpenWorkspace key={open.id} workspace={open} attempt={attempt} />}
    </>
  );
}

function OpenWorkspace({ workspace: { id, role }, attempt }: { workspace: Workspace; attempt: Attempt }) {
  const [list] = useState(() => new TaskList(tasksOf(id)));
  const [members, setMembers] = useState<Member[]>([]);
  const [link, setLink] = useState("");
  const isOwner = role === "owner";
  const loadMembers = () => workspaces.listMembers(id).then(setMembers);
  const change = (action: Promise<void>) => attempt(action.finally(loadMembers));
  useEffect(() => attempt(loadMembers()), [id]);

  return (
    <>
      <Tasks list={list} canWrite={role !== "viewer"} attempt={attempt} />
      <table>
        <tbody>
          {members.map((member) => (
            <tr key={member.user_id}>
              <td>{member.user_id}</td>
              <td>
                <select
                  value={member.role}
                  disabled={!isOwner}
                  onChange={(event) => change(workspaces.changeRole(id, member, event.target.value as Role))}
                >
                  {ROLES.map((each) => (
                    <option key={each}>{each}</option>
                  ))}
                </select>
              </td>
              <td>{isOwner && <button onClick={() => change(workspaces.removeMember(id, member.user_id))}>Remove</button>}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {isOwner &&
        ROLES.map((each) => (
          <button key={each} onClick={() => attempt(workspaces.invite(id, each).then(setLink))}>
            Invite as {each}
          </button>
        ))}
      {link && <input aria-label="Link" readOnly value={link} />}
      <button onClick={() => attempt(workspaces.leave(id))}>Leave</button>
      {isOwner && <button onClick={() => attempt(workspaces.deleteWorkspace(id))}>Delete workspace</button>}
    </>
  );
}
