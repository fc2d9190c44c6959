// Writing: a demonstration, or a correction of the model's answer with what it changes shown beside it.
import { element, keyed, status } from "./dom.js";
import { visible } from "./text.js";
import { difference, words } from "./differ.js";

export function demo(task, desk, { submit, draft, restore }) {
  const send = () => (field.value.trim() ? submit({ text: field.value }) : status("Write the answer first.", true));
  const field = area("Your answer", restore?.text ?? draft.load().text ?? "", draft, send);
  desk.append(field, controls(send));
  field.focus();
  return {};
}

export function edit(task, desk, { submit, draft, restore }) {
  const [answer] = task.answers;
  const send = () => {
    if (field.value === answer.text) return status("Nothing is changed yet. If nothing is wrong with it, skip the task.", true);
    if (!field.value.trim()) return status("The answer is empty.", true);
    submit({ message: answer.id, text: field.value });
  };
  const field = area("The corrected answer", restore?.text ?? draft.load().text ?? answer.text, draft, send);
  const before = words(answer.text);
  const changes = element("p.text", { id: "changes", dir: "auto" });
  const show = () => changes.replaceChildren(...difference(before, words(field.value)).map(([kind, text]) => element(TAGS[kind], {}, visible(text))));
  const reset = () => {
    field.value = answer.text;
    field.dispatchEvent(new Event("input"));
    field.focus();
  };
  field.addEventListener("input", show);
  desk.append(
    element("div.answers.editing", {},
      element("article.answer", {}, element("h3", {}, "Your text"), field),
      element("article.answer", { "aria-label": "What you change" }, element("h3", {}, "What you change"), changes, element("p.flags", { id: "flags-A" }))),
    controls(send, keyed("Start again", "", reset, { className: "quiet" })));
  show();
  field.focus();
  field.setSelectionRange(0, 0);
  field.scrollTop = 0;
  return {};
}

const TAGS = { same: "span", gone: "del", new: "ins" };

// A field that grows with its text, keeps it as a draft, and submits with Ctrl Enter.
export function area(label, value, draft, submit) {
  const field = element("textarea", { value, ariaLabel: label, dir: "auto", maxLength: 100_000 });
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${Math.max(160, field.scrollHeight + 4)}px`;
  };
  field.addEventListener("input", () => { draft.save({ text: field.value }); grow(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") field.blur(); // then the keys of the page work again
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!event.repeat) submit();
  });
  requestAnimationFrame(grow);
  return field;
}

const controls = (submit, ...more) => element("div.dock.choices.end.writing", {}, element("span.faint", {}, "Esc leaves the field, so that the keys work."), ...more, keyed("Submit", "Ctrl Enter", submit, { className: "main" }));
