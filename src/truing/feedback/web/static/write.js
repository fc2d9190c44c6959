// Writing: what a demonstration and a correction have in common.
import { element, keyed } from "./dom.js";

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

export const controls = (submit, ...more) => element("div.dock.choices.end.writing", {}, element("span.faint", {}, "Esc leaves the field, so that the keys work."), ...more, keyed("Submit", "Ctrl Enter", submit, { className: "main" }));
