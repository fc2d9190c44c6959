// A conversation with a live model: two answers each time, and it goes on from the one that is chosen.
import { element, keyed, said, status } from "./dom.js";
import { newKey, request, deliver } from "./api.js";
import { bind } from "./keys.js";
import { pair } from "./pair.js";

export function chat(task, desk, tools) {
  const { done, draft, clock, common } = tools;
  const field = element("textarea", { ariaLabel: "What you say", dir: "auto", rows: 3, value: draft.load().text || "" });
  const send = keyed("Send", "Ctrl Enter", () => say(), { className: "main" });
  const end = keyed("End the conversation", "", () => done({ ended: true }));
  const talk = element("div", { id: "talk" });
  const controls = element("div", {}, field, element("div.choices", {}, send, end));
  desk.append(talk, controls);
  field.addEventListener("input", () => draft.save({ text: field.value }));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      say();
    }
    if (event.key === "Escape") field.blur();
  });
  field.focus();

  async function say() {
    const text = field.value.trim();
    if (!text || field.disabled) return;
    field.disabled = send.disabled = end.disabled = true;
    const shown = [0, 1].map(() => element("p.text", { dir: "auto" }));
    const cards = shown.map((one, side) => element("article.answer", {}, element("h2", {}, `Answer ${"AB"[side]}`), one));
    talk.replaceChildren(turn({ role: "user", text }), element("div.answers", { ariaBusy: "true" }, ...cards));
    try {
      const answers = await stream(text, shown);
      field.value = "";
      draft.save({ text: "" });
      choose(text, answers);
    } catch (error) {
      status(`No answer came: ${error.message}. What you wrote is kept.`, true);
      field.disabled = send.disabled = end.disabled = false;
    }
  }

  async function stream(text, shown) {
    const answer = await request("POST", `/api/assignments/${task.assignment}/say`, { key: newKey(), text });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done: over } = await reader.read();
      rest += value || "";
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean).map((one) => JSON.parse(one))) {
        if (line.error) throw new Error(line.error);
        if (line.done) return line.answers;
        shown[line.answer].append(line.delta);
      }
      if (over) throw new Error("the answer broke off");
    }
  }

  // The two answers are whole: judge them as a pair.
  function choose(text, answers) {
    const place = element("div");
    const key = newKey();
    let sending = false;
    const keys = pair({ ...task, answers }, place, {
      draft: { load: () => ({}), save: () => {} },
      done: async (payload) => {
        if (sending) return;
        sending = true;
        try {
          const { messages } = await deliver(`/api/assignments/${task.assignment}/choose`, { key, payload, ...clock.read() });
          tools.goOn(messages);
        } catch (error) {
          sending = false;
          status(error.message, true);
        }
      },
    });
    controls.hidden = true; // first the choice
    talk.replaceChildren(turn({ role: "user", text }), place);
    bind({ ...common, ...keys });
    status("Which answer is better? The conversation goes on from it.");
  }

  return {};
}

export const turn = (message) => element(`div.turn.${message.role}`, {}, element("span.by", {}, message.role === "user" ? "Person" : message.role === "system" ? "System" : "Model"), said(message));
