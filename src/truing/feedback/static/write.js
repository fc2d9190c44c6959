// Writing: a demonstration, or a correction of the model's answer with what it changes shown beside it.
import { element, keyed, said, status } from "./dom.js";
import { difference, words } from "./differ.js";

export function demo(task, desk, { done, draft, restore }) {
  const field = area(draft.load().text ?? restore?.text ?? "", draft, () => submit(), "Your answer");
  const submit = () => (field.value.trim() ? done({ text: field.value }) : status("Write the answer first.", true));
  desk.append(field, controls(submit));
  field.focus();
  return {};
}

export function edit(task, desk, { done, draft, restore }) {
  const [answer] = task.answers;
  const changes = element("p.text", { id: "changes", "aria-label": "What you changed" });
  const field = area(draft.load().text ?? restore?.text ?? answer.text, draft, () => submit(), "The corrected answer");
  const show = () => {
    const tags = { same: "span", gone: "del", new: "ins" };
    changes.replaceChildren(...difference(words(answer.text), words(field.value)).map(([kind, text]) => element(tags[kind], {}, text)));
  };
  const submit = () => {
    if (field.value === answer.text) return status("Nothing is changed yet. If nothing is wrong, skip the task.", true);
    if (!field.value.trim()) return status("The answer is empty.", true);
    done({ message: answer.id, text: field.value });
  };
  field.addEventListener("input", show);
  desk.append(
    element("div.answers", {},
      element("article.answer", {}, element("h2", {}, "The model's answer"), said(answer)),
      element("article.answer", {}, element("h2", {}, "Your changes"), changes)),
    field, controls(submit));
  show();
  field.focus();
  return {};
}

function area(value, draft, submit, label) {
  const field = element("textarea", { value, ariaLabel: label, dir: "auto", rows: 8 });
  field.addEventListener("input", () => draft.save({ text: field.value }));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
    if (event.key === "Escape") field.blur(); // then the keys of the page work again
  });
  return field;
}

const controls = (submit) => element("div.choices", {}, keyed("Submit", "Ctrl Enter", submit, { className: "main" }));
