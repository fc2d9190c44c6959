// The work: a task is shown, judged, sent; the next one is there already.
import { find, element, keyed, letter, status } from "./dom.js";
import { post, pause, newKey, Offline } from "./api.js";
import { bind, bound } from "./keys.js";
import { Clock, watch } from "./clock.js";
import { foldLong, turn } from "./text.js";
import * as frame from "./frame.js";
import * as supply from "./supply.js";
import * as menu from "./menu.js";
import * as outbox from "./outbox.js";
import * as drafts from "./draft.js";

const KINDS = {}; // what shows a task, by its kind: the function of that name in kinds/
const REASONS = [["The task is unclear", "unclear"], ["Not my field", "not my field"], ["A bad prompt", "bad prompt"], ["Another reason", "other"]];
const LOOK_MS = 300; // after a judgement the next task takes none for so long: it would be half of a double click or key

let current = null; // the task that is shown
let key = ""; // of the current judgement: one however often it is sent
let said = {}; // flags and note of the current task
let clock = new Clock();
let busy = true; // something is being sent or fetched
let early = false; // the task has only just appeared: it can be left, but not judged yet
let shown = 0; // counts what was shown: what waits for an older state is void
const unsent = []; // what was judged without a connection, the last last: it can be taken back all the same

const common = {
  u: [undo, "Undo the last thing, also after submitting"], s: [skip, "Skip, with a reason"], f: [flag, "Flag an answer"],
  n: [note, "Write a note: why?"], g: [frame.toggleGuideline, "Guideline beside the task"], h: [frame.toggleGuideline, "Guideline beside the task"], "?": [() => menu.help(bound()), "This help"],
};

function show(task, { restore = null, words = "", fresh = false } = {}) {
  [current, key, clock] = [task, newKey(), new Clock()];
  early = fresh;
  setBusy(true);
  const mark = ++shown;
  const desk = element("div.task");
  const draft = { load: () => drafts.load(task.assignment), save: (part) => drafts.save(task.assignment, part) };
  const kept = draft.load();
  said = { flags: { ...(restore?.flags || kept.flags) }, reason: restore?.reason ?? kept.reason ?? "" };
  const talk = element("div.conversation", {}, ...task.messages.map(turn));
  const question = element("h2.question", { id: "question", tabIndex: -1 }, task.question);
  find("task").replaceChildren(desk);
  desk.append(talk, question);
  frame.banner(task.onboarding ? "A short quiz before the work: after each answer you see at once what we would say, and why." : "");
  frame.note(said.reason, (reason) => { said.reason = reason; draft.save({ reason }); });
  status(words);
  scrollTo(0, 0);
  question.focus({ preventScroll: true });
  foldLong(talk);
  const tools = { draft, restore, submit: judged, choose: chosen, rebind: (keys) => { bind({ ...patient(keys), ...common }); showFlags(); } };
  tools.rebind({}); // a kind may bind its own keys while it builds
  const keys = KINDS[task.kind](task, desk, tools);
  if (Object.keys(keys).length) tools.rebind(keys);
  showFlags();
  busy = false;
  if (fresh) setTimeout(() => { if (mark === shown) { early = false; setBusy(busy); } }, LOOK_MS);
  else setBusy(false);
}

// Keys that wait until the task can be judged.
const patient = (keys) => Object.fromEntries(Object.entries(keys).map(([name, [act, ...rest]]) => [name, [() => { if (!early) act(); }, ...rest]]));

function setBusy(on) {
  busy = on;
  find("task").setAttribute("aria-busy", String(on));
}

// The second click of a double click on the task before is none on this one.
find("task").addEventListener("click", (event) => {
  if (event.detail > 1 && clock.read().duration_ms < 2 * LOOK_MS) event.stopImmediatePropagation();
}, true);

const body = (payload) => ({
  key, payload: { ...payload, ...(Object.keys(said.flags).length ? { flags: said.flags } : {}), ...(said.reason.trim() ? { reason: said.reason } : {}) }, ...clock.read(),
});

// Send something about the current task. Gives the server's answer, null if it is kept for later, undefined if refused.
async function send(what, message) {
  if (busy || !current || (early && what !== "skip")) return undefined;
  setBusy(true);
  const task = current;
  status("Saving …");
  try {
    const answer = await outbox.deliver(`/api/assignments/${task.assignment}/${what}`, message);
    frame.progress(answer.progress);
    return answer;
  } catch (error) {
    if (error instanceof Offline) {
      unsent.push({ task, payload: message.payload || null, key: message.key });
      return null;
    }
    status(error.message, true);
    setBusy(false);
    return undefined;
  }
}

async function judged(payload) {
  const task = current;
  const answer = await send("submit", body(payload));
  if (answer === undefined) return;
  drafts.clear(task.assignment);
  if (answer?.gold) await explain(answer.gold);
  next(!answer ? "Kept in this browser until the connection is back." : answer.extra ? "Saved, as an extra label: somebody else had the task too." : "Saved. u takes it back.");
}

// A turn of a chat is judged, and the conversation goes on from `then(messages)`.
async function chosen(payload, then) {
  const task = current;
  const answer = await send("choose", body(payload));
  if (answer === undefined) return;
  drafts.clear(task.assignment);
  show({ ...task, answers: [], messages: then(answer?.messages) }, { words: "Saved. Go on with the conversation, or end it." });
}

// The quiz says at once whether it was right, and why; the task stays in sight meanwhile.
function explain({ right, explanation }) {
  return new Promise((resolve) => {
    const on = keyed("Go on", "Enter", resolve, { className: "main" });
    frame.banner([element("strong", {}, right ? "Right. " : "Not what we would say. "), explanation, " ", on], right ? "right" : "wrong");
    status(right ? "Right." : "Not what we would say.");
    bind({ Enter: [resolve, "Go on"], " ": [resolve, "Go on"], g: common.g });
    on.focus();
    scrollTo(0, 0);
  });
}

async function next(words = "") {
  const mark = ++shown;
  setBusy(true);
  const task = await supply.next((state) => { if (mark === shown) pending(state); });
  if (mark !== shown) return supply.giveBack(task); // an undo came in between
  if (!task) return finished();
  show(task, { words, fresh: Boolean(words) });
  const hurried = !task.onboarding && !task.turns; // those are not hurried past
  if (!hurried || !supply.fetchAhead(task.assignment)) frame.refresh();
}

// No task yet: they are being written, or the server is away.
function pending({ words, waits }) {
  current = null;
  bind(common);
  status("");
  frame.note("");
  find("task").replaceChildren(element("div.done", {}, element("div.spinner", { ariaHidden: "true" }), element("h2", {}, waits), element("p", {}, words)));
}

function finished() {
  current = null;
  setBusy(false);
  find("task").replaceChildren(element("div.done", {}, element("h2", {}, "All done"), element("p", {}, "There is nothing left for you to judge. Thank you."),
    keyed("Look again", "", () => next())));
  frame.banner("");
  frame.note("");
  status("");
  bind(common);
}

async function undo() {
  if (busy && current) return;
  const last = unsent.findLast((one) => outbox.holds(one.key));
  if (last) {
    outbox.takeBack(last.key);
    return back(last.task, last.payload, "Taken back. Judge it again.");
  }
  if (outbox.unsent()) return status("Some judgements are still to be sent. Undo works again when the connection is back.", true);
  setBusy(true);
  try {
    const { task, payload, what } = await post("/api/undo", { key: newKey() });
    back(task, what === "skip" ? null : payload, what === "skip" ? "The skipped task is back." : "Taken back. Judge it again.");
    frame.refresh();
  } catch (error) {
    setBusy(false);
    status(error.message, true);
  }
}

function back(task, payload, words) {
  find("menu").close();
  if (current && current.assignment !== task.assignment) supply.giveBack(current);
  show(task, { restore: payload?.ended ? null : payload, words });
}

function skip() {
  if (!current) return;
  menu.choose("Why skip it?", REASONS, async (reason) => {
    const { assignment } = current;
    const answer = await send("skip", { key, reason });
    if (answer === undefined) return;
    drafts.clear(assignment);
    next(answer ? "Skipped. u brings it back." : "Skipped, when the connection is back.");
  });
}

function flag() {
  if (!current?.answers.length) return status("There is no answer to flag.");
  const { assignment } = current;
  menu.flags(current.answers, current.flags, said.flags, () => { drafts.save(assignment, { flags: said.flags }); showFlags(); });
}

function showFlags() {
  current.answers.forEach((answer, place) => {
    const line = find(`flags-${letter(place)}`);
    const words = (said.flags[answer.id] || []).map((name) => current.flags.find((one) => one.name === name)?.words || name);
    if (line) line.textContent = words.length ? `Flagged: ${words.join(", ")}` : "";
  });
}

function note() {
  if (current) frame.openNote();
}

frame.start({ undo, skip, flag, note, help: common["?"][0] });
watch(() => clock);
drafts.sweep();
const { kinds } = await frame.greet(pause);
await Promise.all(kinds.map(async (kind) => { KINDS[kind] = (await import(`./kinds/${kind}.js`))[kind]; }));
supply.start(() => current?.assignment);
outbox.flush();
next();
