// Whether another person's judgement is right.
import { element, answerCard, keyed } from "./dom.js";

export function review(task, desk, { done }) {
  const judge = (verdict) => () => done({ verdict });
  desk.append(
    element("div.answers", {}, ...task.answers.map((answer, place) => answerCard(answer, place))),
    element("p.banner", {}, `Somebody said: ${task.reviewed.words}`),
    element("div.choices", {}, keyed("Right", "1", judge("agree")), keyed("Wrong", "2", judge("disagree"))));
  return { 1: [judge("agree"), "Right"], 2: [judge("disagree"), "Wrong"] };
}
