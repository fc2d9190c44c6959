// Each answer judged on its own, with the same buttons under each: what rating and good or bad have in common.
import { element, keyed, letter, press, status } from "./dom.js";
import { answerCard, foldLong } from "./text.js";

// values: [[key, words, value], ...]; questions: [[name, words], ...], the first has the name "" and must be answered.
// given[name][answer id] is the value chosen. A single answer with a single question is submitted by its key.
export function judge(task, desk, { submit, draft }, { values, questions, given, payload }) {
  const once = task.answers.length === 1 && questions.length === 1;
  const rows = new Map(); // "answer question" -> its buttons' box
  let [focus, question] = [0, 0];

  const send = () => {
    const missing = task.answers.findIndex(({ id }) => given[""]?.[id] === undefined);
    if (missing >= 0) {
      look(missing, 0);
      return status(`Answer ${letter(missing)} is not judged yet.`, true);
    }
    submit(payload(given));
  };
  const set = (place, at, value) => {
    const [name] = questions[at];
    given[name] = { ...given[name], [task.answers[place].id]: value };
    draft.save({ given });
    if (once) return send();
    look(place, at);
  };
  const look = (place, at) => {
    [focus, question] = [place, at];
    for (const [name, { box, marks }] of rows) {
      box.classList.toggle("focus", !once && name === `${place} ${at}`);
      for (const mark of marks) mark();
    }
    [...cards.children].forEach((card, other) => card.classList.toggle("focus", other === place && task.answers.length > 1));
  };
  const row = (answer, place, [name, asked], at) => {
    const buttons = values.map(([key, words, value]) => {
      const label = name && values.length > 2 ? key : words;
      const button = keyed(label, name ? "" : key, () => set(place, at, value), name ? { ariaLabel: words === label ? words : `${key} ${words}` } : {});
      return { button, mark: () => { if (!once) press(button, given[name]?.[answer.id] === value); } };
    });
    const box = element(name ? "div.criterion" : "div.choices", { role: "group", "aria-label": `${asked} Answer ${letter(place)}` },
      name ? element("span.asked", {}, asked) : null, element("div.scale", {}, ...buttons.map(({ button }) => button)));
    rows.set(`${place} ${at}`, { box, marks: buttons.map(({ mark }) => mark) });
    return box;
  };
  const cards = element("div.answers", {}, ...task.answers.map((answer, place) =>
    answerCard(answer, place, ...questions.map((asked, at) => row(answer, place, asked, at)))));
  desk.append(cards);
  if (!once) desk.append(element("div.dock.choices.end", {}, keyed("Submit", "Enter", send, { className: "main" })));
  const fold = foldLong(cards);
  look(0, 0);

  const go = (place, at) => {
    look((place + task.answers.length) % task.answers.length, at);
    rows.get(`${focus} ${question}`).box.scrollIntoView({ block: "nearest" });
  };
  const keys = {};
  for (const [key, words, value] of values) {
    keys[key] = [() => { set(focus, question, value); if (!once && focus + 1 < task.answers.length) go(focus + 1, question); }, words];
  }
  if (task.answers.length > 1) {
    const [next, before] = [[() => go(focus + 1, question), "Next answer"], [() => go(focus - 1, question), "Answer before"]];
    Object.assign(keys, { ArrowDown: next, j: next, ArrowUp: before, k: before });
  }
  if (questions.length > 1) keys.c = [() => go(focus, (question + 1) % questions.length), "Next question"];
  if (!once) keys.Enter = [send, "Submit"];
  if (fold) keys.a = [fold, "Show all of the long answers, or fold them"];
  return keys;
}
