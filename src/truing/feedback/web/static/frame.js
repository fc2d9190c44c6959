// What stands around the task: progress, tools, note, guideline, and what is told of the connection.
import { element, find } from "./dom.js";
import { get, Offline } from "./api.js";
import * as outbox from "./outbox.js";
import * as storage from "./storage.js";

const GUIDELINE = "truing-guideline-open";

export function progress(told) {
  if (!told) return;
  const { mine, today, left } = told;
  const more = today && today !== mine ? element("span.more", {}, ` · ${today} in the last day`) : "";
  find("progress").replaceChildren(`${mine} judged by you · ${left} left`, more);
  find("meter").max = Math.max(1, mine + left);
  find("meter").value = mine;
}

export const refresh = async () => progress((await get("/api/me").catch(() => ({}))).progress);

// A line above the task; `kind`: "", "right" or "wrong".
export function banner(content, kind = "") {
  const place = find("banner");
  place.replaceChildren(...(Array.isArray(content) ? content : [content]));
  place.hidden = !content.length;
  place.className = `banner ${kind}`;
}

export function toggleGuideline(event, open = find("guideline").hidden) {
  find("guideline").hidden = !open;
  find("guide").setAttribute("aria-expanded", String(open));
  storage.write(GUIDELINE, open);
}

// The note of a task, `words` so far; `changed(words)` is called at each letter.
export function note(words, changed) {
  const field = element("textarea", { id: "note-field", value: words, dir: "auto", rows: 2, maxLength: 20_000 });
  const label = element("label", { htmlFor: field.id }, "Note: why? ", element("span.faint", {}, "Saved with your judgement. Esc goes back to the keys."));
  const show = (open) => {
    find("note-box").replaceChildren(...(open ? [label, field] : []));
    find("note").setAttribute("aria-expanded", String(open));
  };
  field.addEventListener("input", () => changed(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && !(event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.preventDefault();
    field.blur();
    if (!field.value.trim()) show(false);
  });
  openNote = () => { show(true); field.focus(); };
  show(Boolean(words));
}

export let openNote = () => {};

export function start({ undo, skip, flag, note: write, help }) {
  const clicks = { undo, skip, flag, note: write, keys: help, guide: toggleGuideline, retry: outbox.tryNow };
  for (const [name, act] of Object.entries(clicks)) {
    find(name).addEventListener("click", (event) => {
      if (event.detail > 0) event.currentTarget.blur(); // Enter is for the task, not for this button again
      act(event);
    });
  }
}

// Who is here, and the guideline; tries until the server answers.
export async function greet(pause) {
  for (;;) {
    try {
      const me = await get("/api/me");
      meet(me);
      return me;
    } catch (error) {
      if (!(error instanceof Offline)) throw error;
      find("progress").textContent = "The server cannot be reached. Trying again …";
      await pause(2000);
    }
  }
}

function meet(me) {
  outbox.open(me.name, connection);
  progress(me.progress);
  if (me.guideline.html) find("guideline").innerHTML = me.guideline.html; // made harmless by the server
  else find("guideline").append(element("p", {}, "This project has no guideline yet."));
  if (storage.read(GUIDELINE, false)) toggleGuideline(null, true);
  const others = outbox.ofOthers();
  if (others.length) tell(`Judgements of ${others.join(", ")} wait in this browser: they are sent when they sign in here again.`);
}

// What became of judgements that could not be sent at once.
function connection({ unsent, sent, refusal, why }) {
  find("offline").hidden = !unsent;
  const many = unsent === 1 ? "1 judgement is" : `${unsent} judgements are`;
  const kept = storage.lasting() ? "kept in this browser, and sent as soon as it works again" : "kept in this page: leave it open until they are sent";
  if (unsent) find("offline-words").textContent = `Not sent yet (${why || "no connection"}): ${many} ${kept}.`;
  if (sent) {
    find("status").textContent = `The connection is back: ${sent} sent.`;
    refresh();
  }
  if (refusal) tell(`The server refused a judgement made without connection: ${refusal}. It is kept in this browser.`);
}

function tell(words) {
  find("refused").textContent = words;
  find("refused").hidden = false;
}
