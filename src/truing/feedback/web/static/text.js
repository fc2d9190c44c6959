// How texts of people and models are shown: as text, with nothing in it that acts or hides.
import { element, letter } from "./dom.js";

const NAMES = {
  "200B": "zero width space", "200C": "zero width non-joiner", "200D": "zero width joiner",
  "200E": "left-to-right mark", "200F": "right-to-left mark", "202A": "left-to-right embedding",
  "202B": "right-to-left embedding", "202C": "pop directional formatting", "202D": "left-to-right override",
  "202E": "right-to-left override", 2060: "word joiner", 2061: "function application", 2062: "invisible times",
  2063: "invisible separator", 2064: "invisible plus", 2066: "left-to-right isolate", 2067: "right-to-left isolate",
  2068: "first strong isolate", 2069: "pop directional isolate", FEFF: "zero width no-break space",
};
const INVISIBLE = /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// A text with the characters that cannot be seen shown by their code.
export function visible(text) {
  const shown = document.createDocumentFragment();
  let start = 0;
  for (const found of text.matchAll(INVISIBLE)) {
    const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    shown.append(text.slice(start, found.index));
    shown.append(element("span.invisible", { title: NAMES[code] || "invisible character" }, `⟨U+${code}⟩`));
    start = found.index + 1;
  }
  shown.append(text.slice(start));
  return shown;
}

// A message or an answer: `html` was made harmless by the server; without it the text is shown as it is.
export function said({ text, html }) {
  if (!html) return element("p.text", { dir: "auto" }, visible(text));
  const shown = element("div.text.html", { dir: "auto" });
  shown.innerHTML = html;
  const walk = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
  const hidden = [];
  while (walk.nextNode()) if (walk.currentNode.data.search(INVISIBLE) >= 0) hidden.push(walk.currentNode);
  for (const node of hidden) node.replaceWith(visible(node.data));
  return shown;
}

const NAMED = { user: "Person", assistant: "Model", system: "System" };

// One turn of the conversation so far.
export function turn(message) {
  const by = element("span.by", {}, NAMED[message.role] || message.role);
  return element(`div.turn.${message.role}`, {}, by, element("div.body", {}, said(message)));
}

// An answer under its letter, with a place for its flags; `more` stands below the text.
export function answerCard(answer, place, ...more) {
  const name = letter(place);
  const head = element("h3", { id: `name-${name}` }, element(`span.letter.side-${name}`, { ariaHidden: "true" }, name), `Answer ${name}`);
  const card = element("article.answer", { id: `answer-${name}`, "aria-labelledby": `name-${name}` });
  card.append(head, element("div.body", {}, said(answer)), element("p.flags", { id: `flags-${name}` }), ...more);
  return card;
}

const ROOM = 1.3; // a text that is only a little too long is not folded

// Fold the texts inside that are too long (how long is the style's business); all of them open and close together.
export function foldLong(inside) {
  const long = [...inside.querySelectorAll(".body")].filter((body) => {
    const most = parseFloat(getComputedStyle(body).getPropertyValue("--fold")) * 16;
    return most && body.scrollHeight > ROOM * most;
  });
  const buttons = long.map((body) => {
    const button = element("button.quiet.unfold", { type: "button" });
    button.addEventListener("click", () => toggle(!body.classList.contains("folded")));
    body.after(button);
    return button;
  });
  const toggle = (folded) => long.forEach((body, at) => {
    body.classList.toggle("folded", folded);
    buttons[at].textContent = folded ? "Show all" : "Show less";
    buttons[at].setAttribute("aria-expanded", String(!folded));
  });
  toggle(true);
  return long.length ? () => toggle(!long[0].classList.contains("folded")) : null;
}
