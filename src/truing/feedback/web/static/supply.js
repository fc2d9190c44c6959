// Where tasks come from: one is fetched ahead while another is judged, and those held are kept from others.
import { post, pause, Offline, Refusal } from "./api.js";
import { status } from "./dom.js";
import * as frame from "./frame.js";
import * as outbox from "./outbox.js";

const ahead = []; // tasks that are here already
let fetching = null; // the request for one more
let current = () => undefined;
let lease_s = 600;

// What was judged without a connection is held too: the server does not know yet that it is done.
async function ask(shown) {
  const held = [...shown, ...outbox.assignments()];
  const { task, progress, wait_s } = await post("/api/next", { held });
  frame.progress(progress);
  return { task: task && !held.includes(task.assignment) ? task : null, wait_s };
}

// The next task; null when all is done. `pending({ waits, words })` tells why it takes long.
export async function next(pending) {
  await fetching?.catch(() => {}); // what it brings is ahead now
  for (let wait = 1; ; ) {
    const task = ahead.shift();
    if (task) return task;
    try {
      const answer = await ask([]);
      if (answer.task) return answer.task;
      if (answer.wait_s === null) return null;
      pending({ waits: "The model is writing answers …", words: "This page asks again by itself." });
      await pause(1000 * answer.wait_s);
    } catch (error) {
      const away = error instanceof Offline;
      pending({ waits: away ? "Waiting for the connection …" : "The server has no task for now", words: `${error.message[0].toUpperCase()}${error.message.slice(1)}. This page tries again by itself.` });
      wait = Math.min(2 * wait, 30);
      await pause(1000 * wait);
      if (!away && !(error instanceof Refusal)) throw error;
    }
  }
}

// Whether one was asked for: not while one is here already.
export function fetchAhead(held) {
  if (fetching || ahead.length) return false;
  fetching = ask([held]).then(({ task }) => { if (task) ahead.push(task); }).catch(() => {}).finally(() => { fetching = null; });
  return true;
}

// A task that was not judged, as after an undo, comes next.
export function giveBack(task) {
  if (task && !ahead.some((one) => one.assignment === task.assignment)) ahead.unshift(task);
}

async function beat() {
  const held = [current(), ...ahead.map((task) => task.assignment)].filter(Boolean);
  for (const assignment of held) {
    const answer = await post(`/api/assignments/${assignment}/heartbeat`).catch(() => null);
    if (answer) lease_s = answer.lease_s;
    if (answer?.held === false && assignment === current()) status("Somebody else may have this task now. Your answer still counts.");
  }
  setTimeout(beat, 1000 * Math.max(1, lease_s / 3));
}

export function start(shown) {
  current = shown;
  setTimeout(beat, 20_000); // then as often as the leases need
}
