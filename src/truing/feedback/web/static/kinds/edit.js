// A correction of the model's answer, with what it changes shown beside it.
import { element, keyed, status } from "../dom.js";
import { visible } from "../text.js";
import { difference, words } from "../differ.js";
import { area, controls } from "../write.js";

const TAGS = { same: "span", gone: "del", new: "ins" };

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
