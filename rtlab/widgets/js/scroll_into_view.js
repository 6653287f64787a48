// Shared: keeps a widget in view that runs, or asks the reader for something; JupyterLab itself scrolls to
// the next cell.

/**
 * Scroll `el` into view at first, and on each of `events`, if `wanted()` is true: with its whole output area
 * if that fits into the window, else alone. After Shift+Enter, JupyterLab keeps the next cell in view while
 * outputs grow, and so pushes them out of view: a widget that was fully visible is scrolled back. A reader
 * who has scrolled away is left alone. Returns a function that ends this.
 */
function keepInSight(model, el, events, wanted) {
  let there = false; // whether `el` was fully visible in the last frame
  let [later, grown] = [[], []];
  const intoSight = () => {
    const area = el.closest(".jp-OutputArea");
    const scroller = el.closest(".jp-WindowedPanel-outer");
    if (!area || !scroller || !wanted()) return;
    growing.observe(area);
    const all = scroller.getBoundingClientRect();
    const fits = area.getBoundingClientRect().height <= all.height;
    const seen = (fits ? area : el).getBoundingClientRect();
    if (seen.height === 0 || (seen.top >= all.top && seen.bottom <= all.bottom)) return;
    if (fits) area.scrollIntoView({ block: "start" });
    else el.scrollIntoView({ block: seen.height <= all.height ? "nearest" : "start" });
  };
  const lookAfter = (...waits) => waits.map((ms) => setTimeout(intoSight, ms));
  const soon = () => {
    later.forEach(clearTimeout);
    later = lookAfter(0, 50, 250, 600); // after the layout of what is below
  };
  const growing = new ResizeObserver(() => {
    if (!there) return;
    grown.forEach(clearTimeout);
    grown = lookAfter(50, 250); // after JupyterLab has scrolled
  });
  const watching = new IntersectionObserver((looks) => (there = looks.at(-1).intersectionRatio > 0.99), {
    threshold: 0.99,
  });
  watching.observe(el);
  events.forEach((event) => model.on(event, soon));
  soon();
  return () => {
    growing.disconnect();
    watching.disconnect();
    [...later, ...grown].forEach(clearTimeout);
    events.forEach((event) => model.off(event, soon));
  };
}
