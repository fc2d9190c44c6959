// How long a judgement takes: since it was shown, and of that the time in which somebody was there.

const IDLE_MS = 30_000;

export class Clock {
  constructor() {
    this.shown = this.counted = this.seen = performance.now();
    this.active = 0;
  }

  // Something was done: time since the last sign counts if it is short and the page was visible.
  touch() {
    const now = performance.now();
    if (document.visibilityState === "visible") this.active += Math.min(now - this.seen, IDLE_MS);
    this.seen = now;
  }

  read() {
    this.touch();
    return { duration_ms: Math.round(performance.now() - this.shown), active_ms: Math.round(this.active) };
  }
}
