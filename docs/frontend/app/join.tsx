"use client";
import { useState } from "react";
import type { Workspace } from "../lib/api";
import { accept } from "../lib/workspaces";

/** Where the link of an invitation leads, at /join, for somebody who has signed in. */
export function Join({ onJoined }: { onJoined: (workspace: Workspace) => void }) {
  const [problem, setProblem] = useState("");
  // By a click, not by opening the page: an effect of React may run twice, and a token can be used once.
  const join = () => accept(location.hash).then(onJoined, (error: Error) => setProblem(error.message));

  return (
    <>
      {problem && <p role="alert">{problem}</p>}
      <button onClick={join}>Join the workspace</button>
    </>
  );
}
