// Requests to the server. A judgement that cannot be sent now is kept, and sent again with the same key.

const QUEUE = "truing-queue";

export class Refusal extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.code = body.code;
  }
}

export class Offline extends Error {}

export const newKey = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};

export async function request(method, path, body) {
  const csrf = document.querySelector("meta[name=csrf]").content;
  const options = { method, headers: { "X-CSRF-Token": csrf } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options).catch(() => {
    throw new Offline("the server cannot be reached");
  });
  if (answer.status === 401) {
    location.assign("/login");
    return new Promise(() => {}); // the page is leaving
  }
  if (answer.status === 429) {
    await pause(1000 * Number(answer.headers.get("Retry-After") || 1));
    return request(method, path, body);
  }
  if (answer.status >= 502 && answer.status <= 504) throw new Offline("the server is not ready");
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const get = async (path) => (await request("GET", path)).json();
export const post = async (path, body = {}) => (await request("POST", path, body)).json();
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const waiting = () => JSON.parse(localStorage.getItem(QUEUE) || "[]");
const keep = (list) => localStorage.setItem(QUEUE, JSON.stringify(list));
export const unsent = () => waiting().length;

// Send a judgement. It is written down first, so that neither a lost connection nor a closed page loses it; only an
// answer of the server, be it a refusal, settles it.
export async function deliver(path, body) {
  keep([...waiting(), { path, body }]);
  try {
    const answer = await post(path, body);
    settle(body.key);
    return answer;
  } catch (error) {
    if (!(error instanceof Offline)) settle(body.key);
    throw error;
  }
}

// Send what was kept, oldest first. Returns how many the server took; what it refused is told to `refused`.
export async function resend(refused) {
  let sent = 0;
  for (const { path, body } of waiting()) {
    try {
      await post(path, body);
      sent += 1;
    } catch (error) {
      if (error instanceof Offline) return sent;
      refused(error);
    }
    settle(body.key);
  }
  return sent;
}

function settle(key) {
  keep(waiting().filter((one) => one.body.key !== key));
}
