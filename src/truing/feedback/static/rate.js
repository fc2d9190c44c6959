// Each answer judged on its own: on a scale with words, or good and bad.
import { element, answerCard, keyed, letter, status } from "./dom.js";

export function rate(task, desk, tools) {
  const { low, high, words } = task.scale;
  const values = Array.from({ length: high - low + 1 }, (_, i) => [String(low + i), `${low + i} ${words[i] || ""}`.trim(), low + i]);
  const asked = [["", ""], ...task.criteria.map(({ name, words: said }) => [name, said])];
  return judge(task, desk, tools, values, asked, (given) => {
    const [{ "": ratings, ...criteria }] = [given];
    return { ratings, criteria: Object.fromEntries(Object.entries(criteria).filter(([, all]) => Object.keys(all).length)) };
  }, (payload) => ({ "": payload.ratings, ...(payload.criteria || {}) }));
}

export function binary(task, desk, tools) {
  const values = [["1", "Good", true], ["2", "Bad", false]];
  return judge(task, desk, tools, values, [["", ""]], (given) => ({ good: given[""] }), (payload) => ({ "": payload.good }));
}

// `given[criterion][answer]` is the value chosen. Digits judge the answer in focus and go on to the next one.
function judge(task, desk, { done, draft, restore }, values, asked, toPayload, fromPayload) {
  const given = draft.load().given || (restore && fromPayload(restore)) || {};
  let focus = 0;
  const rows = new Map();
  const set = (place, name, value) => {
    given[name] = { ...given[name], [task.answers[place].id]: value };
    draft.save({ given });
    render();
  };
  const cards = task.answers.map((answer, place) => {
    const groups = asked.map(([name, said]) => {
      const row = element("div.choices", { role: "group", "aria-label": `${said || "Your judgement"} of answer ${letter(place)}` },
        said ? element("span", {}, said) : null,
        ...values.map(([key, label, value]) => {
          const button = keyed(name ? label : label.replace(/^\d+ /, ""), name ? "" : key, () => { focus = place; set(place, name, value); });
          rows.set(button, [place, name, value]);
          return button;
        }));
      return row;
    });
    const card = answerCard(answer, place, ...groups);
    card.addEventListener("click", () => { focus = place; render(); });
    return card;
  });
  const render = () => {
    cards.forEach((card, place) => card.classList.toggle("focus", place === focus && cards.length > 1));
    for (const [button, [place, name, value]] of rows) {
      button.setAttribute("aria-pressed", String(given[name]?.[task.answers[place].id] === value));
    }
  };
  const submit = () => {
    const missing = task.answers.findIndex(({ id }) => given[""]?.[id] === undefined);
    if (missing >= 0) {
      focus = missing;
      render();
      return status(`Answer ${letter(missing)} is not judged yet.`, true);
    }
    done(toPayload(given));
  };
  desk.append(element("div.answers", {}, ...cards), element("div.choices", {}, keyed("Submit", "Enter", submit, { className: "main" })));
  render();
  const step = (by) => { focus = (focus + by + cards.length) % cards.length; render(); cards[focus].scrollIntoView({ block: "nearest" }); };
  const keys = { ArrowDown: [() => step(1), "Next answer"], ArrowUp: [() => step(-1), "Answer before"], Enter: [submit, "Submit"] };
  for (const [key, label, value] of values) {
    keys[key] = [() => { set(focus, "", value); if (focus + 1 < cards.length) step(1); }, label];
  }
  return keys;
}
