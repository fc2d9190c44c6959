// Whether another person's judgement is right.
import { element, keyed } from "../dom.js";
import { answerCard, foldLong, visible } from "../text.js";

export function review(task, desk, { submit }) {
  const say = (verdict) => () => submit({ verdict });
  const cards = element("div.answers", {}, ...task.answers.map((answer, place) => answerCard(answer, place)));
  desk.append(cards,
    element("blockquote.reviewed", { "aria-label": "What another person said" }, element("span.by", {}, "Another person said"), element("p.text", { dir: "auto" }, visible(task.reviewed?.words || ""))),
    element("div.dock.choices.end", { role: "group", "aria-label": task.question }, keyed("Agree", "1", say("agree")), keyed("Disagree", "2", say("disagree"))));
  const keys = { 1: [say("agree"), "Agree"], 2: [say("disagree"), "Disagree"] };
  const fold = foldLong(cards);
  if (fold) keys.a = [fold, "Show all of the long answers, or fold them"];
  return keys;
}
