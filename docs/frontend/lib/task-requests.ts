// What a list of tasks sends: for a user's own tasks, or for those of a workspace.
import { api, type Task, type TaskCreate, type TaskUpdate } from "./api";

type Query = { sort: "order"; cursor?: string; limit?: number };
type Move = Pick<Task, "id" | "order">;
export type TaskRequests = typeof ownTasks;

export const ownTasks = {
  list: (query: Query) => api.GET("/tasks", { params: { query } }),
  create: (body: TaskCreate, key: string) =>
    api.POST("/tasks", { params: { header: { "Idempotency-Key": key } }, body }),
  read: (task_id: string) => api.GET("/tasks/{task_id}", { params: { path: { task_id } } }),
  change: (task_id: string, etag: string, body: TaskUpdate) =>
    api.PATCH("/tasks/{task_id}", { params: { path: { task_id }, header: { "If-Match": etag } }, body }),
  remove: (task_id: string, etag: string) =>
    api.DELETE("/tasks/{task_id}", { params: { path: { task_id }, header: { "If-Match": etag } } }),
  move: (tasks: Move[]) => api.PATCH("/tasks", { body: { tasks } }),
};

export function tasksOf(workspace_id: string): TaskRequests {
  const all = "/workspaces/{workspace_id}/tasks";
  const one = "/workspaces/{workspace_id}/tasks/{task_id}";
  const path = { workspace_id };
  return {
    list: (query) => api.GET(all, { params: { path, query } }),
    create: (body, key) => api.POST(all, { params: { path, header: { "Idempotency-Key": key } }, body }),
    read: (task_id) => api.GET(one, { params: { path: { ...path, task_id } } }),
    change: (task_id, etag, body) =>
      api.PATCH(one, { params: { path: { ...path, task_id }, header: { "If-Match": etag } }, body }),
    remove: (task_id, etag) =>
      api.DELETE(one, { params: { path: { ...path, task_id }, header: { "If-Match": etag } } }),
    move: (tasks) => api.PATCH(all, { params: { path }, body: { tasks } }),
  };
}
