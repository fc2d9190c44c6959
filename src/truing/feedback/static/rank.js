// Answers in order, by dragging or by keys. Ties, and "only the best three", are allowed; an untouched order is not.
import { element, keyed, letter, said, status } from "./dom.js";

export function rank(task, desk, { done, draft, restore }) {
  const kept = draft.load().ranking || (restore && fromPayload(task, restore));
  const byId = new Map(task.answers.map((answer, place) => [answer.id, { answer, name: letter(place) }]));
  let order = kept?.order || task.answers.map(({ id }) => id);
  let tied = new Set(kept?.tied || []); // those that share the place of the one above
  let best = kept?.best || false;
  let touched = Boolean(kept);
  let focus = order[0];
  const list = element("ol.ranking", { "aria-label": "Your order, the best first" });
  const change = (act) => {
    act();
    touched = true;
    draft.save({ ranking: { order, tied: [...tied], best } });
    render();
  };
  const move = (id, by) => change(() => {
    const from = order.indexOf(id);
    const to = Math.max(0, Math.min(order.length - 1, from + by));
    place(id, to);
  });
  const place = (id, to) => {
    order = order.filter((other) => other !== id);
    order.splice(to, 0, id);
    tied.delete(id);
    tied.delete(order[0]);
  };
  const tie = (id) => change(() => {
    if (id === order[0]) status("The first answer has none above to tie with.");
    else if (!tied.delete(id)) tied.add(id);
  });

  function render() {
    const places = tiers(order, tied);
    list.replaceChildren(...order.map((id, at) => {
      const { answer, name } = byId.get(id);
      const below = best && places[at] >= 3;
      const item = element("li", { tabIndex: -1, id: `rank-${name}`, "aria-label": `${name}, place ${places[at] + 1}${tied.has(id) ? ", tied" : ""}` },
        element("span.place", {}, below ? "–" : `${places[at] + 1}${tied.has(id) ? "=" : ""}`),
        element("div.body", {}, element("strong", {}, `Answer ${name}`), said(answer), element("p.flags", { id: `flags-${name}` })),
        element("div.moves", {},
          element("button", { type: "button", onclick: () => move(id, -1), ariaLabel: `Move ${name} up` }, "↑"),
          element("button", { type: "button", onclick: () => move(id, 1), ariaLabel: `Move ${name} down` }, "↓"),
          element("button", { type: "button", onclick: () => tie(id), ariaLabel: `Tie ${name} with the one above`, ariaPressed: String(tied.has(id)) }, "=")));
      item.classList.toggle("focus", id === focus);
      item.classList.toggle("tied", tied.has(id));
      item.classList.toggle("below", below);
      item.addEventListener("pointerdown", (event) => drag(event, id, item));
      return item;
    }));
  }

  // Follow the pointer; the answer takes the place that it is let go over.
  function drag(event, id, item) {
    focus = id;
    if (event.target.closest("button, a") || event.button !== 0) return;
    event.preventDefault();
    item.setPointerCapture(event.pointerId);
    item.classList.add("dragged");
    const start = event.clientY;
    const follow = (moved) => { item.style.transform = `translateY(${moved.clientY - start}px)`; };
    const drop = (up) => {
      item.removeEventListener("pointermove", follow);
      item.style.transform = "";
      const others = [...list.children].filter((other) => other !== item);
      const to = others.filter((other) => {
        const box = other.getBoundingClientRect();
        return up.clientY > box.top + box.height / 2;
      }).length;
      if (up.type === "pointerup" && to !== order.indexOf(id)) change(() => place(id, to));
      else render();
    };
    item.addEventListener("pointermove", follow);
    item.addEventListener("pointerup", drop, { once: true });
    item.addEventListener("pointercancel", drop, { once: true });
  }

  const submit = () => {
    if (!touched) return status("Nothing is ordered yet. If this order is right, say so with the button.", true);
    const places = tiers(order, tied);
    const payload = { tiers: {}, unranked: [] };
    order.forEach((id, at) => {
      if (best && places[at] >= 3) payload.unranked.push(id);
      else payload.tiers[id] = places[at];
    });
    done(payload);
  };
  const right = () => change(() => {});
  const only = element("button", { type: "button", onclick: () => change(() => { best = !best; only.setAttribute("aria-pressed", String(best)); }), ariaPressed: String(best) }, "Only the best three ", element("kbd", {}, "b"));
  desk.append(list, element("div.choices", {},
    keyed("This order is right", "y", right), task.keep_best ? only : null, keyed("Submit", "Enter", submit, { className: "main" })));
  render();

  const keys = {
    ArrowUp: [() => move(focus, -1), "Move it up"], k: [() => move(focus, -1), "Move it up"],
    ArrowDown: [() => move(focus, 1), "Move it down"], j: [() => move(focus, 1), "Move it down"],
    t: [() => tie(focus), "Tie it with the one above, or untie"], y: [right, "This order is right"], Enter: [submit, "Submit"],
  };
  if (task.keep_best) keys.b = [() => only.click(), "Only the best three"];
  task.answers.forEach(({ id }, at) => {
    keys[String(at + 1)] = [() => { focus = id; render(); }, `Take answer ${letter(at)}`];
  });
  return keys;
}

function tiers(order, tied) {
  let tier = -1;
  return order.map((id) => (tied.has(id) && tier >= 0 ? tier : ++tier));
}

function fromPayload(task, { tiers: given, unranked }) {
  const order = Object.keys(given).sort((a, b) => given[a] - given[b]);
  const tied = order.filter((id, at) => at > 0 && given[id] === given[order[at - 1]]);
  return { order: [...order, ...(unranked || [])], tied, best: (unranked || []).length > 0 };
}
