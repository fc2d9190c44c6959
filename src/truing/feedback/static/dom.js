// Small helpers to build the page. Text goes in as text: nothing that a model said is ever markup.

export const find = (id) => document.getElementById(id);

// element("button.main", {onclick}, "Go", child): tag and classes, properties, children.
export function element(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag);
  made.classList.add(...classes);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const INVISIBLE = /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// A text with the characters that cannot be seen shown by their code.
export function visible(text) {
  const shown = document.createDocumentFragment();
  let start = 0;
  for (const found of text.matchAll(INVISIBLE)) {
    const code = "U+" + found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    shown.append(text.slice(start, found.index), element("span.invisible", { title: "invisible character" }, `⟨${code}⟩`));
    start = found.index + 1;
  }
  shown.append(text.slice(start));
  return shown;
}

// A message or an answer: `html` was made harmless by the server; without it the text is shown as it is.
export function said({ text, html }) {
  if (html) {
    const shown = element("div.text.html", { dir: "auto" });
    shown.innerHTML = html;
    return shown;
  }
  return element("p.text", { dir: "auto" }, visible(text));
}

export const letter = (place) => String.fromCharCode(65 + place);

const LONG = 1500; // characters

// A card with an answer; a long one is folded.
export function answerCard(answer, place, ...more) {
  const card = element("article.answer", { id: `answer-${letter(place)}`, "aria-label": `Answer ${letter(place)}` });
  card.append(element("h2", {}, `Answer ${letter(place)}`), said(answer));
  if (answer.text.length > LONG) {
    card.classList.add("long");
    card.append(element("button.quiet", { onclick: (event) => { card.classList.remove("long"); event.target.remove(); } }, "Show all"));
  }
  card.append(element("p.flags", { id: `flags-${letter(place)}` }), ...more);
  return card;
}

// A button with its key printed on it.
export function keyed(label, key, onclick, properties = {}) {
  return element("button", { onclick, type: "button", ...properties }, `${label} `, key ? element("kbd", { ariaHidden: "true" }, key) : null);
}

export function status(words, loud = false) {
  const line = find("status");
  line.textContent = words;
  line.classList.toggle("loud", loud);
}
