// Keys: one table at a time says what they do. Typing in a field and open menus are left alone.

let table = {};

// {"1": [what, words], ...}; `what` is called with the event.
export function bind(keys) {
  table = keys;
}

export const bound = () => Object.entries(table).map(([key, [, words]]) => [key, words]);

const typing = (target) => target.matches?.("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  // Enter and space press the button that has the focus, as everywhere.
  if ((event.key === "Enter" || event.key === " ") && event.target.closest("button, a, summary")) return;
  const found = table[event.key] || table[event.key.toLowerCase()];
  if (!found) return;
  event.preventDefault();
  found[0](event);
});

// A button that was clicked with the mouse does not keep the keyboard: the next Enter means the task, not the button.
document.addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest("button")?.blur();
});
