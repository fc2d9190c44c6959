// The work: a task is shown, judged, sent; the next one is there already.
import { find, element, keyed, letter, status } from "./dom.js";
import { get, post, deliver, resend, unsent, pause, newKey, Offline } from "./api.js";
import { bind, bound } from "./keys.js";
import { Clock } from "./clock.js";
import * as drafts from "./draft.js";
import { pair } from "./pair.js";
import { rank } from "./rank.js";
import { rate, binary } from "./rate.js";
import { demo, edit } from "./write.js";
import { chat, turn } from "./chat.js";
import { review } from "./review.js";

const KINDS = { pair, rank, rate, binary, demo, edit, chat, review };
const REASONS = ["unclear", "not my field", "bad prompt", "other"];

let current = null; // the task that is shown
let ahead = null; // a promise of the next one
let said = {}; // flags and note of the current task
let clock = new Clock();
let key = ""; // of the current judgement: one however often it is sent
let sending = false;
let wanted = 0; // counts the tasks asked for: an undo meanwhile makes an older wish void

const common = {
  u: [undo, "Undo the last thing, also after submitting"], s: [skip, "Skip, with a reason"], f: [flag, "Flag an answer"],
  n: [note, "Write a note"], h: [guideline, "Guideline beside the task"], "?": [help, "This help"],
};

function show(task, restore) {
  current = task;
  key = newKey();
  sending = false;
  clock = new Clock();
  const desk = find("task");
  desk.replaceChildren();
  desk.setAttribute("aria-busy", "false");
  const kept = drafts.load(task.assignment);
  said = { flags: restore?.flags || kept.flags || {}, reason: restore?.reason ?? kept.reason ?? "" };
  desk.append(...task.messages.map(turn), element("p.question", { id: "question" }, task.question));
  if (task.onboarding) banner("A short quiz before the work: the right answer is explained at once.");
  else banner("");
  const draft = { load: () => drafts.load(task.assignment), save: (part) => drafts.save(task.assignment, part) };
  const keys = KINDS[task.kind](task, desk, { done: submit, draft, restore, clock, common, goOn });
  bind({ ...common, ...keys });
  showFlags();
  find("main").scrollIntoView();
  if (!desk.contains(document.activeElement)) find("main").focus({ preventScroll: true });
}

// A chat goes on: the same task with a longer conversation.
function goOn(messages) {
  status("");
  show({ ...current, messages });
}

async function submit(payload) {
  if (sending || find("task").getAttribute("aria-busy") === "true") return; // a double click is one judgement
  sending = true;
  const task = current;
  const extra = { ...(Object.keys(said.flags).length ? { flags: said.flags } : {}), ...(said.reason ? { reason: said.reason } : {}) };
  const body = { key, payload: { ...payload, ...extra }, ...clock.read() };
  status("Saving …");
  try {
    const answer = await deliver(`/api/assignments/${task.assignment}/submit`, body);
    drafts.clear(task.assignment);
    status(answer.extra ? "Saved as an extra label: somebody else had the task too." : "Saved. u takes it back.");
    if (answer.gold) await explain(answer.gold);
  } catch (error) {
    if (!(error instanceof Offline)) {
      sending = false;
      return status(error.message, true);
    }
    drafts.clear(task.assignment);
    retry();
  }
  await next();
}

// The quiz says at once whether it was right, and why; any key goes on.
function explain({ right, explanation }) {
  banner(`${right ? "Right." : "Not what we would say."} ${explanation}`, !right);
  return new Promise((resolve) => {
    const on = keyed("Go on", "Enter", resolve, { className: "main" });
    find("banner").append(" ", on);
    bind({ Enter: [resolve, "Go on"], " ": [resolve, "Go on"] });
    on.focus();
  });
}

async function next() {
  const wish = ++wanted;
  find("task").setAttribute("aria-busy", "true");
  sending = false;
  let answer = await ahead;
  ahead = null;
  if (!answer?.task) answer = await ask([]);
  while (wish === wanted && answer.task === null) {
    if (answer.wait_s === null) return finished();
    status("The model is writing answers …");
    await pause(1000 * answer.wait_s);
    answer = await ask([]);
  }
  if (wish !== wanted) return;
  show(answer.task);
  fetchAhead();
}

function fetchAhead() {
  // A quiz and a chat are not hurried past.
  if (current.onboarding || current.kind === "chat") return;
  ahead = ask([current.assignment]);
}

async function ask(held) {
  for (;;) {
    try {
      const answer = await post("/api/next", { held });
      progress(answer.progress);
      return answer;
    } catch (error) {
      if (!(error instanceof Offline)) throw error;
      status("The server cannot be reached. Trying again …", true);
      await pause(2000);
    }
  }
}

function finished() {
  current = null;
  find("task").setAttribute("aria-busy", "false");
  find("task").replaceChildren(element("div.done", {}, element("h2", {}, "All done"), element("p", {}, "There is nothing left to judge. Thank you.")));
  banner("");
  status("");
  bind(common);
}

async function undo() {
  if (sending) return;
  try {
    const { task, payload, what } = await post("/api/undo", { key: newKey() });
    wanted += 1;
    ahead = null;
    show(task, what === "submit" ? payload : null);
    progress((await get("/api/me")).progress);
    status(what === "skip" ? "The skipped task is back." : "Taken back. Judge it again.");
  } catch (error) {
    status(error.message, true);
  }
}

function skip() {
  if (!current) return;
  menu("Why skip it?", REASONS.map((reason, at) => [String(at + 1), reason, async () => {
    try {
      await deliver(`/api/assignments/${current.assignment}/skip`, { key, reason });
      drafts.clear(current.assignment);
      status("Skipped. u brings it back.");
    } catch (error) {
      if (!(error instanceof Offline)) return status(error.message, true);
      retry();
    }
    await next();
  }]));
}

function flag() {
  if (!current?.answers.length) return;
  const choices = current.answers.flatMap((answer, place) => current.flags.map(({ name, words }) => {
    const has = said.flags[answer.id]?.includes(name);
    return ["", `${letter(place)}: ${words}${has ? " (take away)" : ""}`, () => {
      const others = (said.flags[answer.id] || []).filter((other) => other !== name);
      said.flags[answer.id] = has ? others : [...others, name];
      if (!said.flags[answer.id].length) delete said.flags[answer.id];
      drafts.save(current.assignment, { flags: said.flags });
      showFlags();
    }];
  }));
  menu("What is wrong with it?", choices.map(([, ...rest], at) => [at < 9 ? String(at + 1) : "", ...rest]));
}

function showFlags() {
  current.answers.forEach((answer, place) => {
    const line = find(`flags-${letter(place)}`);
    const words = (said.flags[answer.id] || []).map((name) => current.flags.find((one) => one.name === name)?.words || name);
    if (line) line.textContent = words.length ? `Flagged: ${words.join(", ")}` : "";
  });
}

function note() {
  if (!current) return;
  const field = element("textarea", { value: said.reason, ariaLabel: "Note", dir: "auto" });
  field.addEventListener("input", () => {
    said.reason = field.value;
    drafts.save(current.assignment, { reason: said.reason });
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) closeMenu();
  });
  menu("Why? (saved with your judgement)", [], field, keyed("Done", "Ctrl Enter", () => closeMenu(), { className: "main" }));
  field.focus();
}

function guideline() {
  const side = find("guideline");
  side.hidden = !side.hidden;
  find("guide").setAttribute("aria-expanded", String(!side.hidden));
}

function help() {
  const list = element("dl", {}, ...bound().flatMap(([name, words]) => [element("dt", {}, element("kbd", {}, name)), element("dd", {}, words)]));
  menu("Keys", [], list, keyed("Close", "Esc", () => closeMenu()));
}

// A small list to choose from, by click or by the key shown.
function menu(title, choices, ...more) {
  const dialog = find("menu");
  const pick = (act) => () => { closeMenu(); act(); };
  find("menu-title").textContent = title;
  find("menu-body").replaceChildren(element("div.list", {}, ...choices.map(([name, words, act]) => keyed(words, name, pick(act)))), ...more);
  dialog.onkeydown = (event) => {
    const found = event.target.matches("textarea") ? null : choices.find(([name]) => name && name === event.key);
    if (found) {
      event.preventDefault();
      pick(found[2])();
    }
  };
  dialog.onclose = () => dialog.open || find("main").focus({ preventScroll: true }); // closed by Escape
  dialog.showModal();
}

// The keys belong to the task again, and at once: a closed dialog keeps the focus for a moment.
function closeMenu() {
  find("menu").close();
  find("main").focus({ preventScroll: true });
}

function banner(words, wrong = false) {
  const place = find("banner");
  place.replaceChildren(words);
  place.hidden = !words;
  place.classList.toggle("wrong", wrong);
}

function progress({ mine, today, left, total }) {
  find("progress").textContent = `${mine} judged by you${today && today !== mine ? `, ${today} in the last day` : ""} · ${left} left for you of ${total}`;
}

let retrying = false;
async function retry() {
  if (retrying) return;
  retrying = true;
  for (let wait = 1000; unsent(); wait = Math.min(2 * wait, 30_000)) {
    status(`The connection is lost: ${unsent()} kept in this browser, and sent as soon as it is back.`, true);
    await pause(wait);
    const sent = await resend((error) => status(error.message, true));
    if (sent) status(`The connection is back: ${sent} sent.`);
  }
  retrying = false;
}

setInterval(async () => {
  if (!current) return;
  const { held } = await post(`/api/assignments/${current.assignment}/heartbeat`).catch(() => ({ held: true }));
  if (!held && !sending) status("Somebody else may have this task now. Your answer still counts.");
}, 120_000);

for (const name of ["keydown", "pointerdown", "pointermove", "scroll"]) {
  document.addEventListener(name, () => clock.touch(), { passive: true, capture: true });
}
for (const [name, act] of Object.entries({ undo, skip, flag, note, guide: guideline, keys: help })) find(name).addEventListener("click", act);

const me = await get("/api/me");
if (me.guideline.version) find("guideline").innerHTML = me.guideline.html; // sanitised by the server
else find("guideline").append("There is no guideline.");
progress(me.progress);
if (unsent()) await resend((error) => status(error.message, true));
if (unsent()) retry();
await next();
