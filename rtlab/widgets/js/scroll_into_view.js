// Shared: what moves, or asks for something, must be seen. JupyterLab's own scrolling follows the next cell.

/**
 * Bring `el` into the window, at first and when one of `events` comes, while `wanted()` says so: with all of
 * its output where that fits, else alone. After Shift+Enter JupyterLab holds the next cell in the window while
 * outputs grow, and pushes them out of it: what was wholly there is brought back. A reader who has scrolled
 * away is left alone. Returns what ends it.
 */
function keepInSight(model, el, events, wanted) {
  let there = false; // wholly, in the last frame
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
    later = lookAfter(0, 50, 250, 600); // when what stands below is laid out
  };
  const growing = new ResizeObserver(() => {
    if (!there) return;
    grown.forEach(clearTimeout);
    grown = lookAfter(50, 250); // when JupyterLab has scrolled
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
