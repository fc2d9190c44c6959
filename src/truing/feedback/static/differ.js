// Where two texts differ, word by word.

const LIMIT = 1500; // words: beyond it the table would be too large to fill at each key

export const words = (text) => text.match(/\s+|[^\s]+/g) || [];

// [["same" | "gone" | "new", text], ...] from one list of words to another: the longest common subsequence.
export function difference(before, after) {
  if (before.length > LIMIT || after.length > LIMIT) {
    return [["gone", before.join("")], ["new", after.join("")]];
  }
  const [n, m] = [before.length, after.length];
  const longest = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const parts = [];
  const tell = (kind, text) => {
    if (parts.at(-1)?.[0] === kind) parts.at(-1)[1] += text;
    else parts.push([kind, text]);
  };
  let [i, j] = [0, 0];
  while (i < n || j < m) {
    if (i < n && j < m && before[i] === after[j]) tell("same", before[i++]), j++;
    else if (i < n && (j === m || longest[i + 1][j] >= longest[i][j + 1])) tell("gone", before[i++]);
    else tell("new", after[j++]);
  }
  return parts;
}
