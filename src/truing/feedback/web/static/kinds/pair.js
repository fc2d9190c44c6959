// Two answers: which is better, and by how much. One key is one judgement.
import { element, keyed, press, status } from "../dom.js";
import { answerCard, foldLong, said, visible } from "../text.js";
import { difference, words } from "../differ.js";

// Key, full words, short words, and what it says: the side and strength of the better one, or a verdict.
const SCALE = [
  ["1", "A much better", "much", 0, 3], ["2", "A clearly better", "clearly", 0, 2], ["3", "A slightly better", "slightly", 0, 1],
  ["4", "Tie", "tie", "tie"],
  ["5", "B slightly better", "slightly", 1, 1], ["6", "B clearly better", "clearly", 1, 2], ["7", "B much better", "much", 1, 3],
];
const NEITHER = [["8", "Both good", "both good", "both_good"], ["9", "Both bad", "both bad", "both_bad"], ["0", "Can't tell", "can't tell", "cant_tell"]];

// Builds the task into `desk`; `submit(payload)` is called with the judgement. Returns the keys it listens to.
export function pair(task, desk, { submit, draft, restore }) {
  const kept = restore || draft.load();
  const now = { main: restore ? pick(restore) : kept.main, criteria: { ...kept.criteria } };
  const asks = task.criteria.length > 0; // then a key chooses, and Enter submits
  const send = () => {
    if (!now.main) return status("Choose first which answer is better.", true);
    submit(asks ? { ...now.main, criteria: now.criteria } : now.main);
  };
  const chosen = (name, value) => {
    if (name === "") now.main = value;
    else if (value) now.criteria[name] = value;
    else delete now.criteria[name];
    draft.save(now);
    if (!asks) send();
  };
  const cards = element("div.answers", {}, ...task.answers.map((answer, place) => answerCard(answer, place)));
  const rows = [choices(task, "", task.question, now.main, chosen, !asks)];
  for (const { name, words: asked } of task.criteria) rows.push(choices(task, name, asked, now.criteria[name], chosen, false));
  const dock = element(asks ? "div" : "div.dock", {}, ...rows.map(({ box }) => box));
  if (asks) dock.append(element("div.dock.choices.end", {}, keyed("Submit", "Enter", send, { className: "main" })));
  desk.append(cards, dock);
  return { ...keysOf(rows, send), ...reading(task.answers, cards) };
}

const pick = ({ verdict, winner, strength }) => ({ verdict, winner, strength });

const meaning = (answers, said, strength) =>
  typeof said === "string" ? { verdict: said, winner: null, strength: null } : { verdict: "better", winner: answers[said].id, strength };

const same = (a, b) => Boolean(a && b) && a.verdict === b.verdict && a.winner === b.winner && a.strength === b.strength;

// One question with its buttons. A further question is compact, and pressing its choice again takes it away.
function choices(task, name, asked, now, chosen, once) {
  const compact = name !== "";
  const buttons = new Map();
  const acts = {};
  const mark = (value) => {
    now = value;
    if (!once) for (const [button, meant] of buttons) press(button, same(meant, value));
  };
  const offer = ([key, full, short, side, strength]) => {
    const meant = meaning(task.answers, side, strength);
    const act = () => {
      mark(compact && same(now, meant) ? null : meant);
      chosen(name, now);
    };
    const button = keyed(compact ? short : full, compact ? "" : key, act, compact ? { ariaLabel: full } : {});
    if (side === 0 || side === 1) button.classList.add(`side-${"AB"[side]}`);
    buttons.set(button, meant);
    acts[key] = [act, full];
    return button;
  };
  const box = element(compact ? "div.criterion" : "div.verdict", { role: "group", "aria-label": asked },
    compact ? element("span.asked", {}, asked) : null,
    element("div.scale", {}, compact ? element("b.side-A", { ariaHidden: "true" }, "A") : null, ...SCALE.map(offer),
      compact ? element("b.side-B", { ariaHidden: "true" }, "B") : null),
    element("div.neither", {}, ...NEITHER.map(offer)));
  mark(now);
  return { box, acts };
}

// Digits answer the question in focus; with more than one, arrows go between them.
function keysOf(rows, send) {
  if (rows.length === 1) return rows[0].acts;
  let focus = 0;
  const look = (by) => {
    focus = (focus + by + rows.length) % rows.length;
    rows.forEach(({ box }, at) => box.classList.toggle("focus", at === focus));
    if (!by) return;
    rows[focus].box.scrollIntoView({ block: "nearest" });
    status(`Digits now answer: ${rows[focus].box.getAttribute("aria-label")}`);
  };
  look(0);
  const keys = Object.fromEntries(Object.entries(rows[0].acts).map(([key, [, words]]) => [key, [() => rows[focus].acts[key][0](), words]]));
  const next = [() => look(1), "Next question"];
  const before = [() => look(-1), "Question before"];
  return { ...keys, ArrowDown: next, c: next, ArrowUp: before, Enter: [send, "Submit"] };
}

// Keys that help to read: what differs, and long answers open or folded.
function reading(answers, cards) {
  const fold = foldLong(cards);
  let marked = false;
  const differ = () => {
    marked = !marked;
    const parts = marked ? difference(words(answers[0].text), words(answers[1].text)) : [];
    [...cards.children].forEach((card, side) => {
      const shown = marked ? highlighted(parts, side === 0 ? "gone" : "new") : said(answers[side]);
      card.querySelector(".body").replaceChildren(shown);
    });
    status(marked ? "Words that only one answer has are marked. d takes the marks away." : "");
  };
  const keys = { d: [differ, "Show where the answers differ"] };
  if (fold) keys.a = [fold, "Show all of the long answers, or fold them"];
  return keys;
}

function highlighted(parts, own) {
  const text = element("p.text", { dir: "auto" });
  for (const [kind, piece] of parts) {
    if (kind === "same") text.append(visible(piece));
    else if (kind === own) text.append(piece.trim() ? element("mark", {}, visible(piece)) : visible(piece));
  }
  return text;
}
