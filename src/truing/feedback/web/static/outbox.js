// Judgements on their way: each is written down before it is sent, and stays until the server has answered.
import { post, Offline, newKey } from "./api.js";
import * as storage from "./storage.js";

const OUTBOX = "truing-queue";
const REFUSED = "truing-refused";
const LONGEST_WAIT_MS = 30_000;

let owner = ""; // whose judgements: somebody else may sign in in the same browser
let report = () => {};
let running = false;
let wake = () => {};

// `told({ unsent, refusal, sent, why })` is called whenever something changes.
export function open(name, told) {
  [owner, report] = [name, told];
  addEventListener("online", () => wake());
}

const all = () => storage.read(OUTBOX, []);
const mine = () => all().filter((one) => (one.owner ?? owner) === owner);
const settle = (key) => storage.write(OUTBOX, all().filter((one) => one.body.key !== key));

export const unsent = () => mine().length;
export const ofOthers = () => [...new Set(all().filter((one) => (one.owner ?? owner) !== owner).map((one) => one.owner))];
export const holds = (key) => mine().some((one) => one.body.key === key && !one.undo);
export const tryNow = () => wake();
export const assignments = () => mine().map((one) => one.path.split("/")[3]);

// Send a judgement. Throws Offline when it is kept for later, and what the server refused as it is.
export async function deliver(path, body) {
  const others = mine().length;
  if (!mine().some((one) => one.body.key === body.key)) storage.write(OUTBOX, [...all(), { owner, path, body }]);
  try {
    if (others) throw new Offline("earlier judgements are still to be sent"); // and the order matters for undo
    const answer = await post(path, body);
    settle(body.key);
    return answer;
  } catch (error) {
    if (error instanceof Offline) flush(error.message);
    else settle(body.key);
    throw error;
  }
}

// Take back a judgement that was not sent yet. It may have arrived all the same: so it is sent, and then undone.
export function takeBack(key) {
  storage.write(OUTBOX, all().map((one) => (one.body.key === key ? { ...one, undo: newKey() } : one)));
}

// Send what is kept, oldest first, until nothing is left; longer and longer pauses while the server is away.
export async function flush(why = "") {
  if (running) return;
  running = true;
  let sent = 0;
  for (let wait = why ? 1000 : 0; unsent(); wait = Math.min(2 * wait + 1000, LONGEST_WAIT_MS)) {
    if (wait) report({ unsent: unsent(), why });
    await nap(wait);
    for (const { body } of mine()) {
      try {
        await send(body.key);
        sent += 1;
        wait = 0;
      } catch (error) {
        if (error instanceof Offline) {
          why = error.message;
          break;
        }
        storage.write(REFUSED, [...storage.read(REFUSED, []), { body, error: error.message }].slice(-100));
        report({ unsent: unsent() - 1, refusal: error.message });
      }
      settle(body.key);
    }
  }
  running = false;
  report({ unsent: 0, sent });
}

async function send(key) {
  const kept = () => all().find((one) => one.body.key === key);
  const { path, body } = kept();
  await post(path, body);
  if (kept()?.undo) await post("/api/undo", { key: kept().undo });
}

function nap(ms) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, ms * (1 + Math.random() / 4)); // not all browsers at once when the server is back
  });
}
