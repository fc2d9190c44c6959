// A number with words for each answer. Digits rate the answer in focus and go on to the next.
import { judge } from "../judge.js";

export function rate(task, desk, tools) {
  const { low, high, words, whole = true } = task.scale;
  const values = whole
    ? Array.from({ length: high - low + 1 }, (_, at) => [String(low + at), words[at] || "", low + at])
    : [0, 0.25, 0.5, 0.75, 1].map((share, at) => [String(at + 1), String(low + share * (high - low)), low + share * (high - low)]);
  const questions = [["", task.question], ...task.criteria.map(({ name, words: asked }) => [name, asked])];
  const { restore, draft } = tools;
  const given = restore ? { "": restore.ratings, ...restore.criteria } : draft.load().given || {};
  const payload = ({ "": ratings, ...criteria }) => (task.criteria.length ? { ratings, criteria } : { ratings });
  return judge(task, desk, tools, { values, questions, given, payload });
}
