// What is half said survives a reload: kept in the browser by assignment, until it is submitted.

const name = (assignment) => `truing-draft-${assignment}`;

export const load = (assignment) => JSON.parse(localStorage.getItem(name(assignment)) || "{}");

export function save(assignment, part) {
  localStorage.setItem(name(assignment), JSON.stringify({ ...load(assignment), ...part }));
}

export const clear = (assignment) => localStorage.removeItem(name(assignment));
