// Answers in order, by dragging or by keys. Ties, and "only the best three", are allowed; an untouched order is not.
import { element, keyed, letter, press, status } from "../dom.js";
import { foldLong, said } from "../text.js";
import { draggable } from "../drag.js";
import * as order from "../tiers.js";

export function rank(task, desk, { submit, draft, restore }) {
  const kept = restore ? fromPayload(restore) : draft.load().ranking;
  const names = new Map(task.answers.map(({ id }, place) => [id, letter(place)]));
  let tiers = kept?.tiers || task.answers.map(({ id }) => [id]);
  let [best, touched] = [Boolean(kept?.best), Boolean(kept?.touched)];
  let focus = tiers[0][0];

  // Take over a new order; the same object means that nothing could move.
  const become = (next, words) => {
    if (next === tiers) return status(words || `${names.get(focus)} cannot move further.`);
    tiers = next;
    keep(true);
    status(`${names.get(focus)}: ${placeOf(focus)} of ${task.answers.length}${tiers[order.tierOf(tiers, focus)].length > 1 ? ", tied" : ""}.`);
  };
  const keep = (moved) => {
    touched ||= moved;
    draft.save({ ranking: { tiers, best, touched } });
    render();
  };
  const placeOf = (id) => tiers.slice(0, order.tierOf(tiers, id)).flat().length + 1;
  const below = (id) => best && placeOf(id) > task.keep_best;
  const act = (move, words) => (id = focus) => { focus = id; become(move(tiers, id), words); };
  const [up, down, tie] = [act(order.up), act(order.down), act(order.tie, "The best answer has none above to tie with.")];
  const [top, bottom] = [act((all, id) => order.place(all, id, 0)), act((all, id) => order.place(all, id, task.answers.length))];

  const items = new Map(task.answers.map((answer) => [answer.id, item(answer, names.get(answer.id), { up, down, tie })]));
  const list = element("ol.ranking", { "aria-label": "Your order, the best first" });
  const line = element("li.divider", {}, "Below the best three, in no order");
  function render() {
    const had = document.activeElement;
    const rest = tiers.flat().filter(below);
    list.replaceChildren(...tiers.flat().filter((id) => !below(id)).map((id) => items.get(id).li), ...(rest.length ? [line] : []), ...rest.map((id) => items.get(id).li));
    for (const [id, { li, number, tieButton }] of items) {
      const tier = tiers[order.tierOf(tiers, id)];
      const tied = tier.length > 1 && !below(id);
      number.textContent = below(id) ? "–" : `${placeOf(id)}${tied ? "=" : ""}`;
      li.setAttribute("aria-label", `Answer ${names.get(id)}, ${below(id) ? "not ranked" : `place ${placeOf(id)}${tied ? ", tied" : ""}`}`);
      li.classList.toggle("focus", id === focus);
      li.classList.toggle("tied", tied && tier[0] !== id);
      li.classList.toggle("below", below(id));
      press(tieButton, tied);
    }
    if (list.contains(had)) had.focus({ preventScroll: true });
  }
  const select = (id) => {
    focus = id;
    render();
    items.get(id).li.scrollIntoView({ block: "nearest" });
    status(`${names.get(id)} is taken: arrows move it, t ties it.`);
  };
  const send = () => {
    if (!touched) return status("Nothing is ordered yet. If this order is right, say so with “This order is right”.", true);
    const [above, rest] = [tiers.filter((tier) => !below(tier[0])), tiers.flat().filter(below)];
    submit({ tiers: Object.fromEntries(above.flatMap((tier, place) => tier.map((id) => [id, place]))), unranked: rest });
  };
  const right = () => { keep(true); status("This order stands. Enter submits it."); };
  const only = () => { best = !best; press(onlyButton, best); keep(false); };
  const onlyButton = keyed(`Only the best ${task.keep_best === 3 ? "three" : task.keep_best}`, "b", only);
  press(onlyButton, best);
  desk.append(element("p.faint.hint", {}, "Drag an answer by its bar; or take it with its number, move it with ↑ ↓, tie it with t."), list,
    element("div.dock.choices.end", {}, keyed("This order is right", "y", right), task.keep_best ? onlyButton : null, keyed("Submit", "Enter", send, { className: "main" })));
  render();
  const fold = foldLong(list);
  for (const [id, { li, bar }] of items) {
    draggable(list, li, { bar,  taken: () => { focus = id; render(); }, dropped: (place) => become(order.place(tiers, id, place), " ") });
    li.addEventListener("click", (event) => { if (!event.target.closest("button, a")) { focus = id; render(); } });
  }
  const keys = {
    ArrowUp: [() => up(), "Move it up", true], k: [() => up(), "Move it up", true],
    ArrowDown: [() => down(), "Move it down", true], j: [() => down(), "Move it down", true],
    Home: [() => top(), "To the top"], End: [() => bottom(), "To the bottom"],
    t: [() => tie(), "Tie it with the one above, or untie it"], y: [right, "This order is right"], Enter: [send, "Submit"],
  };
  if (task.keep_best) keys.b = [only, "Only the best ones"];
  if (fold) keys.a = [fold, "Show all of the long answers, or fold them"];
  task.answers.forEach(({ id }, at) => { keys[at + 1] = [() => select(id), `Take answer ${letter(at)}`]; });
  return keys;
}

// An answer as it stands in the list: a bar to drag by, its text, its buttons.
function item(answer, name, { up, down, tie }) {
  const number = element("span.place", {});
  const button = (sign, words, act) => element("button", { type: "button", ariaLabel: words, title: words, onclick: () => act(answer.id) }, sign);
  const tieButton = button("=", `Tie ${name} with the one above`, tie);
  const bar = element("div.handle", {}, element("span.grip", { ariaHidden: "true" }, "⠿"), number,
    element(`span.letter`, { ariaHidden: "true" }, name), element("strong", {}, `Answer ${name}`));
  const moves = element("div.moves", {}, button("↑", `Move ${name} up`, up), button("↓", `Move ${name} down`, down), tieButton);
  const li = element("li", { id: `rank-${name}` }, element("div.head", {}, bar, moves), element("div.body", {}, said(answer)), element("p.flags", { id: `flags-${name}` }));
  return { li, number, bar, tieButton };
}

function fromPayload({ tiers, unranked = [] }) {
  const ranked = [];
  for (const [id, tier] of Object.entries(tiers)) (ranked[tier] ||= []).push(id);
  return { tiers: [...ranked, ...unranked.map((id) => [id])], best: unranked.length > 0, touched: true };
}
