// Small helpers to build the page: elements, buttons with their key on them, the status line.

export const find = (id) => document.getElementById(id);
export const letter = (place) => String.fromCharCode(65 + place);

// element("button.main", { onclick }, "Go", child): tag and classes; listeners, properties, attributes; children as text.
export function element(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A button with its key printed on it. A click by mouse gives the focus back, so that Enter submits and does not click
// the same button again; whoever came by Tab stays where they are.
export function keyed(label, key, act, properties = {}) {
  const printed = key ? element("kbd", { ariaHidden: "true" }, key) : null;
  const button = element("button", { type: "button", ...properties }, element("span", {}, label), printed);
  if (key) button.setAttribute("aria-keyshortcuts", key.replace("Ctrl ", "Control+"));
  button.addEventListener("click", (event) => {
    if (event.detail > 0) button.blur();
    act(event);
  });
  return button;
}

export const press = (button, on) => button.setAttribute("aria-pressed", String(on));

export function status(words, loud = false) {
  const line = find("status");
  line.textContent = words;
  line.classList.toggle("loud", loud);
}
