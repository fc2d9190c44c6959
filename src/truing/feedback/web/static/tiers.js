// An order with ties: tiers of ids, the best first. Each function gives a new order, or the same one if nothing moves.

export const tierOf = (tiers, id) => tiers.findIndex((tier) => tier.includes(id));

const without = (tiers, id) => tiers.map((tier) => tier.filter((other) => other !== id)).filter((tier) => tier.length);

// Out of its tie, or past the tier above it.
export function up(tiers, id) {
  const at = tierOf(tiers, id);
  const alone = tiers[at].length === 1;
  if (alone && at === 0) return tiers;
  return without(tiers, id).toSpliced(alone ? at - 1 : at, 0, [id]);
}

export function down(tiers, id) {
  const at = tierOf(tiers, id);
  const alone = tiers[at].length === 1;
  if (alone && at === tiers.length - 1) return tiers;
  return without(tiers, id).toSpliced(at + 1, 0, [id]);
}

// Into the tier above; out of a tie, below the others.
export function tie(tiers, id) {
  const at = tierOf(tiers, id);
  if (tiers[at].length > 1) return without(tiers, id).toSpliced(at + 1, 0, [id]);
  if (at === 0) return tiers;
  return without(tiers, id).with(at - 1, [...tiers[at - 1], id]);
}

// Before the answer that has this place among the others; between two that are tied it joins them.
export function place(tiers, id, to) {
  const rest = without(tiers, id);
  let above = 0;
  for (const [at, tier] of rest.entries()) {
    if (to <= above) return same(tiers, rest.toSpliced(at, 0, [id]));
    if (to < above + tier.length) return same(tiers, rest.with(at, tier.toSpliced(to - above, 0, id)));
    above += tier.length;
  }
  return same(tiers, [...rest, [id]]);
}

const same = (before, after) => (JSON.stringify(before) === JSON.stringify(after) ? before : after);
