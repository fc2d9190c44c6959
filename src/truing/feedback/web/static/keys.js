// Keys: one table at a time says what they do. Typing in a field and open menus are left alone.

let table = {};

// { u: [act, "Undo"], ... }; a third member true: holding the key down repeats it.
export function bind(keys) {
  table = keys;
}

export const bound = () => Object.entries(table).map(([key, [, words]]) => [key, words]);

// The key by what is on it; by its place where the layout has something else there (digits in French, letters in Russian).
function entry({ key, code }) {
  const place = /^(?:Digit|Numpad)(\d)$/.exec(code) || (/[^ -~]/.test(key) && /^Key([A-Z])$/.exec(code));
  return table[key] || table[key.toLowerCase()] || (place && table[place[1].toLowerCase()]);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (event.target.matches?.("input, textarea, select") || document.querySelector("dialog[open]")) return;
  // Enter and space press what has the focus, as everywhere.
  if ((event.key === "Enter" || event.key === " ") && event.target.closest?.("button, a, summary")) return;
  const found = entry(event);
  if (!found) return;
  event.preventDefault();
  if (!event.repeat || found[2]) found[0]();
});
