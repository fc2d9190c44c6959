// A conversation with a live model: two answers each time, and it goes on from the one that is chosen.
import { element, keyed, letter, status } from "../dom.js";
import { turn, visible } from "../text.js";
import { lines, newKey, Offline } from "../api.js";
import { pair } from "./pair.js";

export function chat(task, desk, tools) {
  const { submit, draft, restore } = tools;
  const kept = draft.load();
  const field = element("textarea", { ariaLabel: "What you say to the model", dir: "auto", rows: 3, maxLength: 20_000, value: kept.text || "" });
  const send = keyed("Send", "Enter", () => say());
  send.classList.add("main");
  const end = keyed("End the conversation", "", () => finish());
  const talk = element("div", { id: "talk" });
  const writing = element("div.composer", {}, field, element("div.choices.end", {}, end, send));
  const lock = (on) => { field.disabled = send.disabled = end.disabled = on; };
  // Without a connection the page knows as well as the server how the conversation goes on.
  const goneOn = (text, answers, { winner }) => {
    const better = answers.find(({ id }) => id === winner) || answers[0];
    return [...task.messages, { role: "user", text, html: null }, { role: "assistant", text: better.text, html: better.html }];
  };

  desk.append(talk, writing);
  field.addEventListener("input", () => draft.save({ text: field.value }));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") field.blur();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!event.repeat) say();
  });
  // Answers that came before a reload, or that an undo gave back, are still to be judged.
  const again = restore?.verdict && kept.judged?.turns === task.messages.length ? kept.judged : kept.pending;
  if (again) choose(again.text, again.answers, restore);
  else field.focus();

  function finish() {
    if (task.messages.some(({ role }) => role === "assistant")) submit({ ended: true });
    else status("Nothing was judged in this conversation yet. Skip it if you do not want to have it.", true);
  }

  async function say() {
    const text = field.value.trim();
    if (!text || field.disabled) return;
    lock(true);
    const shown = [0, 1].map(() => element("p.text", { dir: "auto" }));
    const cards = shown.map((one, side) => element("article.answer", { "aria-label": `Answer ${letter(side)}` },
      element("h3", {}, element(`span.letter.side-${letter(side)}`, { ariaHidden: "true" }, letter(side)), `Answer ${letter(side)}`), one));
    talk.replaceChildren(turn({ role: "user", text }), element("div.answers.streaming", { ariaBusy: "true" }, ...cards));
    status("The answers are being written. Choose when both are there.");
    talk.scrollIntoView({ block: "nearest" });
    try {
      const answers = await stream(text, shown);
      field.value = "";
      draft.save({ text: "", pending: { text, answers } });
      choose(text, answers);
    } catch (error) {
      talk.replaceChildren();
      lock(false);
      field.focus();
      status(`No answer came: ${error.message}. What you wrote is kept.`, true);
    }
  }

  async function stream(text, shown) {
    const texts = ["", ""];
    for await (const line of lines(`/api/assignments/${task.assignment}/say`, { key: newKey(), text })) {
      if (line.error) throw new Error(line.error);
      if (line.done) return line.answers;
      texts[line.answer] += line.delta;
      shown[line.answer].replaceChildren(visible(texts[line.answer]));
    }
    throw new Offline("the connection broke off");
  }

  // The two answers are whole: judge them as a pair.
  function choose(text, answers, before) {
    lock(true);
    writing.hidden = true;
    task.answers = answers; // flags speak of them
    const place = element("div");
    talk.replaceChildren(turn({ role: "user", text }), place);
    const keys = pair({ ...task, question: "Which answer is better? The conversation goes on from it." }, place, {
      restore: before,
      draft: { load: () => draft.load().choice || {}, save: (choice) => draft.save({ choice }) },
      submit: (payload) => tools.choose(payload, (messages) => {
        draft.save({ judged: { text, answers, turns: task.messages.length } });
        return messages || goneOn(text, answers, payload);
      }),
    });
    tools.rebind(keys);
    status("Both answers are there: choose the better one.");
    place.scrollIntoView({ block: "nearest" });
  }

  return {};
}
