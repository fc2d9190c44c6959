// An answer written by the person.
import { status } from "../dom.js";
import { area, controls } from "../write.js";

export function demo(task, desk, { submit, draft, restore }) {
  const send = () => (field.value.trim() ? submit({ text: field.value }) : status("Write the answer first.", true));
  const field = area("Your answer", restore?.text ?? draft.load().text ?? "", draft, send);
  desk.append(field, controls(send));
  field.focus();
  return {};
}
