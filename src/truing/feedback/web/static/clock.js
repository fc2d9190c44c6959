// How long a judgement takes: since it was shown, and of that the time in which somebody was there.

const IDLE_MS = 30_000;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll"];

export class Clock {
  constructor() {
    this.shown = this.counted = this.sign = performance.now();
    this.active = 0;
    this.visible = document.visibilityState === "visible";
  }

  // Count what has passed: only while the page was visible, and at most IDLE_MS after the last sign of a person.
  count() {
    const now = performance.now();
    if (this.visible) this.active += Math.max(0, Math.min(now, this.sign + IDLE_MS) - this.counted);
    this.counted = now;
    this.visible = document.visibilityState === "visible";
  }

  touch() {
    this.count();
    this.sign = this.counted;
  }

  read() {
    this.count();
    return { duration_ms: Math.round(this.counted - this.shown), active_ms: Math.round(this.active) };
  }
}

// Let signs of a person reach the clock of the moment.
export function watch(clock) {
  for (const name of SIGNS) document.addEventListener(name, () => clock().touch(), { passive: true, capture: true });
  document.addEventListener("visibilitychange", () => clock().count());
}
