// Shared: what moves, or asks for something, must be seen. JupyterLab's own scrolling follows the next cell.

/**
 * Bring `el` into the window, at first and when one of `events` comes, while `wanted()` says so and it is
 * not wholly there: with all of its output where that fits, else alone. Returns what ends it.
 */
function keepInSight(model, el, events, wanted) {
  const intoSight = () => {
    const area = el.closest(".jp-OutputArea");
    const scroller = el.closest(".jp-WindowedPanel-outer");
    if (!area || !scroller || !wanted()) return;
    const [seen, all] = [el.getBoundingClientRect(), scroller.getBoundingClientRect()];
    if (seen.height === 0 || (seen.top >= all.top && seen.bottom <= all.bottom)) return;
    if (area.getBoundingClientRect().height <= all.height) area.scrollIntoView({ block: "start" });
    else el.scrollIntoView({ block: seen.height <= all.height ? "nearest" : "start" });
  };
  let later = [];
  const soon = () => {
    later.forEach(clearTimeout);
    later = [0, 50, 250, 600].map((ms) => setTimeout(intoSight, ms)); // when what stands below is laid out
  };
  events.forEach((event) => model.on(event, soon));
  soon();
  return () => {
    later.forEach(clearTimeout);
    events.forEach((event) => model.off(event, soon));
  };
}
