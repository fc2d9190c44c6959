// Where two texts differ, word by word.

const CELLS = 4_000_000; // of the table; beyond it the part that differs is taken as a whole

export const words = (text) => text.match(/\s+|[\p{L}\p{N}'’_]+|[^\s\p{L}\p{N}'’_]/gu) || [];

// [["same" | "gone" | "new", text], ...] from one list of words to another: the longest common subsequence.
export function difference(before, after) {
  const parts = [];
  const tell = (kind, text) => {
    if (text && parts.at(-1)?.[0] === kind) parts.at(-1)[1] += text;
    else if (text) parts.push([kind, text]);
  };
  let [start, n, m] = [0, before.length, after.length];
  while (start < n && start < m && before[start] === after[start]) start += 1;
  while (n > start && m > start && before[n - 1] === after[m - 1]) [n, m] = [n - 1, m - 1];
  tell("same", before.slice(0, start).join(""));
  for (const [kind, text] of middle(before.slice(start, n), after.slice(start, m))) tell(kind, text);
  tell("same", before.slice(n).join(""));
  return parts;
}

function* middle(before, after) {
  const [n, m] = [before.length, after.length];
  if (n * m > CELLS) {
    yield ["gone", before.join("")];
    yield ["new", after.join("")];
    return;
  }
  const longest = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < n || j < m) {
    if (i < n && j < m && before[i] === after[j]) yield ["same", (j++, before[i++])];
    else if (i < n && (j === m || longest[i + 1][j] >= longest[i][j + 1])) yield ["gone", before[i++]];
    else yield ["new", after[j++]];
  }
}
