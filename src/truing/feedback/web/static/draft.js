// What is half said survives a reload: kept in the browser by assignment until it is submitted.
import * as storage from "./storage.js";

const PREFIX = "truing-draft-";
const KEPT_MS = 30 * 24 * 3600 * 1000;

export const load = (assignment) => storage.read(PREFIX + assignment, {});
export const clear = (assignment) => storage.remove(PREFIX + assignment);

export function save(assignment, part) {
  storage.write(PREFIX + assignment, { ...load(assignment), ...part, at: Date.now() });
}

// Drafts of tasks that never came back do not stay for ever.
export function sweep() {
  for (const name of storage.names().filter((one) => one.startsWith(PREFIX))) {
    if (!(storage.read(name, {}).at > Date.now() - KEPT_MS)) storage.remove(name);
  }
}
