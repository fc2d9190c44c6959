// What the browser keeps for us. Where it keeps nothing (full, or forbidden), this page's memory does.

const memory = new Map();

export function read(name, otherwise) {
  try {
    return JSON.parse(memory.get(name) ?? localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise; // forbidden, or not written by us
  }
}

export function write(name, value) {
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(name, text);
    memory.delete(name);
  } catch {
    memory.set(name, text);
  }
}

export function remove(name) {
  memory.delete(name);
  try {
    localStorage.removeItem(name);
  } catch { /* then nothing was kept */ }
}

export function names() {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

// Whether what is written survives this page.
export const lasting = () => memory.size === 0;
