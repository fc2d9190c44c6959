// A number with words for each answer. Digits rate the answer in focus and go on to the next.
import { judge } from "./judge.js";

export function rate(task, desk, tools) {
  const { low, high, words } = task.scale;
  const values = Array.from({ length: high - low + 1 }, (_, at) => [String(low + at), words[at] || "", low + at]);
  const questions = [["", task.question], ...task.criteria.map(({ name, words: asked }) => [name, asked])];
  const { restore, draft } = tools;
  const given = restore ? { "": restore.ratings, ...restore.criteria } : draft.load().given || {};
  const payload = ({ "": ratings, ...criteria }) => (task.criteria.length ? { ratings, criteria } : { ratings });
  return judge(task, desk, tools, { values, questions, given, payload });
}
