// Dragging an item of a list; the page scrolls when the pointer nears an edge. A mouse grips the item anywhere, a finger
// or pen by its bar: elsewhere it scrolls.

const EDGE_PX = 70;
const STEP_PX = 14;

// `taken()` when it is gripped; `dropped(place)` with its new place among the other items.
export function draggable(list, item, { bar, taken, dropped }) {
  item.addEventListener("pointerdown", (down) => {
    const here = down.pointerType === "mouse" || bar.contains(down.target);
    if (!here || down.button !== 0 || down.target.closest("button, a")) return;
    down.preventDefault();
    taken();
    item.setPointerCapture(down.pointerId);
    item.classList.add("dragged");
    const start = down.clientY + scrollY;
    const gripped = new AbortController();
    let y = down.clientY;
    const others = [...list.children].filter((other) => other !== item && !other.classList.contains("divider"));
    const place = () => others.filter((other) => y > middle(other)).length;
    const follow = () => {
      item.style.transform = `translateY(${y + scrollY - start}px)`;
      const to = place();
      others.forEach((other, at) => {
        other.classList.toggle("gap-before", at === to);
        other.classList.toggle("gap-after", to === others.length && at === to - 1);
      });
    };
    const scroll = () => {
      if (gripped.signal.aborted) return;
      const by = y < EDGE_PX ? -STEP_PX : y > innerHeight - EDGE_PX ? STEP_PX : 0;
      if (by) {
        scrollBy(0, by);
        follow();
      }
      requestAnimationFrame(scroll);
    };
    const move = (event) => { y = event.clientY; follow(); };
    const end = (event) => {
      const to = place();
      gripped.abort();
      item.style.transform = "";
      item.classList.remove("dragged");
      for (const other of others) other.classList.remove("gap-before", "gap-after");
      const moved = Math.abs(y + scrollY - start) > 8; // less is a click
      if (event.type === "pointerup" && moved) dropped(to);
    };
    const listeners = { pointermove: move, pointerup: end, pointercancel: end };
    for (const [name, act] of Object.entries(listeners)) item.addEventListener(name, act, { signal: gripped.signal });
    requestAnimationFrame(scroll);
  });
}

function middle(item) {
  const { top, height } = item.getBoundingClientRect();
  return top + height / 2;
}
