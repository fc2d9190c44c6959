// The dialog: a short list to choose from, flags to set, the help on keys. Each has its key; Esc closes it.
import { element, find, keyed, letter, press } from "./dom.js";

// Show `content` under a title; `keys` maps a key to what it does. Keys typed into a field are left alone.
function open(title, keys, ...content) {
  const dialog = find("menu");
  find("menu-title").textContent = title;
  find("menu-body").replaceChildren(...content);
  dialog.onkeydown = (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input")) return;
    event.preventDefault();
    if (!event.repeat) act();
  };
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); }; // beside it
  if (!dialog.open) dialog.showModal();
}

const close = () => find("menu").close();

// One of `choices`, [[words, value], ...], by click or by its number.
export function choose(title, choices, chosen) {
  const pick = (value) => () => { close(); chosen(value); };
  const keys = Object.fromEntries(choices.map(([, value], at) => [String(at + 1), pick(value)]));
  const buttons = choices.map(([words, value], at) => keyed(words, String(at + 1), pick(value)));
  open(title, keys, element("div.list", {}, ...buttons), keyed("Cancel", "Esc", close, { className: "quiet" }));
}

// A flag of an answer is set or taken away; `set` holds them by answer id.
export function flags(answers, offered, set, changed) {
  let focus = 0;
  const groups = answers.map((answer, place) => {
    const buttons = offered.map(({ name, words }, at) => {
      const label = element("span", {}, element("span.unseen", {}, `${letter(place)}: `), words);
      const button = keyed(label, String(at + 1), () => flip(place, at));
      press(button, Boolean(set[answer.id]?.includes(name)));
      return button;
    });
    const title = element("h3", {}, `Answer ${letter(place)}`, answers.length > 1 ? element("kbd", { ariaHidden: "true" }, letter(place).toLowerCase()) : null);
    return element("div.flagging", { role: "group", "aria-label": `Flags of answer ${letter(place)}` }, title, ...buttons);
  });
  const flip = (place, at) => {
    const { id } = answers[place];
    const { name } = offered[at];
    const has = set[id]?.includes(name);
    const left = has ? set[id].filter((other) => other !== name) : [...(set[id] || []), name];
    if (left.length) set[id] = left;
    else delete set[id];
    close();
    changed();
  };
  const look = (place) => {
    focus = place;
    groups.forEach((box, at) => box.classList.toggle("focus", at === place && groups.length > 1));
    groups[place].scrollIntoView({ block: "nearest" });
  };
  const keys = Object.fromEntries(offered.map((one, at) => [String(at + 1), () => flip(focus, at)]));
  answers.forEach((answer, place) => { keys[letter(place).toLowerCase()] = () => look(place); });
  open("What is wrong with it?", keys, ...groups, keyed("Cancel", "Esc", close, { className: "quiet" }));
  look(0);
}

// All keys that work now, with what they do; keys that do the same share a line.
export function help(bound) {
  const lines = new Map();
  for (const [key, words] of bound) lines.set(words, [...(lines.get(words) || []), key]);
  const shown = [...lines].map(([words, keys]) =>
    element("div", {}, element("dt", {}, ...keys.map((key) => element("kbd", {}, NAMED[key] || key))), element("dd", {}, words)));
  open("Keys", { "?": close }, element("dl.keys", {}, ...shown),
    element("p.faint", {}, "While you write in a field its keys are its own: Esc leaves it, Ctrl Enter submits."),
    keyed("Close", "Esc", close, { className: "main" }));
}

const NAMED = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "space" };
