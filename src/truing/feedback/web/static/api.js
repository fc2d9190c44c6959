// Requests to the server, and the kinds of failure: what it refuses, and what it could not be asked now.

const PATIENCE_MS = 15_000;
let leaving = false; // to the page for signing in

// The server understood and said no: sending the same again would not help.
export class Refusal extends Error {}

// Nobody knows whether it arrived, or it could not be taken just now: the same is to be sent again later.
export class Offline extends Error {}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export async function request(method, path, body, patience = PATIENCE_MS) {
  const headers = { "X-CSRF-Token": document.querySelector("meta[name=csrf]").content };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = patience ? AbortSignal.timeout(patience) : undefined;
  const answer = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) }).catch(() => {
    throw new Offline("the server cannot be reached");
  });
  if (answer.ok) return answer;
  if (answer.status === 429) {
    await pause(1000 * Math.min(60, Number(answer.headers.get("Retry-After")) || 1));
    return request(method, path, body, patience);
  }
  const { error = `the server answered ${answer.status}`, code } = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    if (!leaving) location.assign("/login");
    leaving = true;
    throw new Offline("sign in again");
  }
  if (answer.status >= 500 || code === "csrf") throw new Offline(error);
  throw Object.assign(new Refusal(error), { status: answer.status, code });
}

async function json(answer) {
  return answer.json().catch(() => {
    throw new Offline("the answer broke off");
  });
}

export const get = async (path) => json(await request("GET", path));
export const post = async (path, body = {}) => json(await request("POST", path, body));

// Lines of JSON, each as it comes.
export async function* lines(path, body) {
  const reader = (await request("POST", path, body, 0)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) if (line) yield JSON.parse(line);
  }
}
