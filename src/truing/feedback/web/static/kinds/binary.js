// Good or bad, for each answer.
import { judge } from "../judge.js";

export function binary(task, desk, tools) {
  const { restore, draft } = tools;
  const given = restore ? { "": restore.good } : draft.load().given || {};
  const values = [["1", "Good", true], ["2", "Bad", false]];
  const payload = ({ "": good }) => ({ good });
  return judge(task, desk, tools, { values, questions: [["", task.question]], given, payload });
}
