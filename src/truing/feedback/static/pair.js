// Two answers: which is better, and by how much. One key is one judgement.
import { element, answerCard, keyed, letter, said } from "./dom.js";
import { difference, words } from "./differ.js";

const CHOICES = [
  ["1", "much better", 0, 3], ["2", "clearly better", 0, 2], ["3", "slightly better", 0, 1], ["4", "tie"],
  ["5", "slightly better", 1, 1], ["6", "clearly better", 1, 2], ["7", "much better", 1, 3],
];
const NEITHER = [["8", "Both good", "both_good"], ["9", "Both bad", "both_bad"], ["0", "Can't tell", "cant_tell"]];

const verdict = (answers, side, strength) => ({ verdict: "better", winner: answers[side].id, strength });
const none = (word) => ({ verdict: word, winner: null, strength: null });

// Builds the task into `desk`; `done(payload)` is called with the judgement. Returns the keys it listens to.
export function pair(task, desk, { done, draft, restore }) {
  const cards = task.answers.map((answer, place) => answerCard(answer, place));
  const asks = task.criteria.length > 0; // then a key chooses, and Enter submits
  let chosen = restore?.verdict ? { verdict: restore.verdict, winner: restore.winner, strength: restore.strength } : draft.load().chosen;
  const criteria = { ...(restore?.criteria || draft.load().criteria || {}) };
  const buttons = new Map();
  const choose = (value, key) => {
    chosen = value;
    draft.save({ chosen });
    for (const [other, button] of buttons) button.setAttribute("aria-pressed", String(other === key));
    if (!asks) submit();
  };
  const submit = () => chosen && done({ ...chosen, ...(asks ? { criteria } : {}) });
  const row = element("div.choices", { role: "group", "aria-label": "Which is better" });
  const keys = {};
  const offer = (key, label, value, group) => {
    const button = keyed(label, key, () => choose(value, key));
    if (asks) button.setAttribute("aria-pressed", String(same(chosen, value)));
    buttons.set(key, button);
    group.append(button);
    keys[key] = [() => choose(value, key), label];
  };
  for (const [key, label, side, strength] of CHOICES) {
    const words = side === undefined ? "Tie" : `${letter(side)} ${label}`;
    offer(key, words, side === undefined ? none("tie") : verdict(task.answers, side, strength), row);
  }
  const others = element("div.choices.side", { role: "group", "aria-label": "Neither is better" });
  for (const [key, label, word] of NEITHER) offer(key, label, none(word), others);
  desk.append(element("div.answers", {}, ...cards), row, others);
  for (const criterion of task.criteria) desk.append(criterionRow(task, criterion, criteria, () => draft.save({ criteria })));
  if (asks) {
    desk.append(element("div.choices", {}, keyed("Submit", "Enter", submit, { className: "main" })));
    keys.Enter = [submit, "Submit"];
  }
  keys.d = [() => highlight(task.answers, cards), "Show where the answers differ"];
  return keys;
}

const same = (a, b) => Boolean(a) && a.verdict === b.verdict && a.winner === b.winner && a.strength === b.strength;

function criterionRow(task, { name, words: asked }, criteria, changed) {
  const row = element("div.criterion", { role: "group", "aria-label": asked }, element("span", {}, asked));
  const options = [
    [`${letter(0)} better`, verdict(task.answers, 0, 2)], ["Tie", none("tie")],
    [`${letter(1)} better`, verdict(task.answers, 1, 2)], ["Can't tell", none("cant_tell")],
  ];
  for (const [label, value] of options) {
    const button = element("button", { type: "button", ariaPressed: String(same(criteria[name], value)) }, label);
    button.addEventListener("click", () => {
      criteria[name] = value;
      for (const other of row.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
      changed();
    });
    row.append(button);
  }
  return row;
}

// Mark the words that only one of the two answers has; again: plain.
function highlight(answers, cards) {
  const marked = cards.some((card) => card.querySelector("mark"));
  const parts = difference(words(answers[0].text), words(answers[1].text));
  cards.forEach((card, side) => {
    const shown = card.querySelector(".text");
    if (marked) return shown.replaceWith(said(answers[side]));
    const text = element("p.text", { dir: "auto" });
    for (const [kind, piece] of parts) {
      const mine = kind === (side === 0 ? "gone" : "new");
      if (kind === "same") text.append(piece);
      else if (mine) text.append(element("mark", {}, piece));
    }
    shown.replaceWith(text);
  });
}
