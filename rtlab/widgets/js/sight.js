// Shared: what moves, or asks for something, must be seen. JupyterLab's own scrolling follows the next cell.

/**
 * Bring the output in which `el` stands into the window, at first and when one of `events` comes, while
 * `wanted()` says so and it is not wholly there. Returns what ends it.
 */
function keepInSight(model, el, events, wanted) {
  const intoSight = () => {
    const area = el.closest(".jp-OutputArea");
    const scroller = el.closest(".jp-WindowedPanel-outer");
    if (!area || !scroller || !wanted()) return;
    const [seen, all] = [area.getBoundingClientRect(), scroller.getBoundingClientRect()];
    if (seen.top < all.top || seen.bottom > all.bottom) area.scrollIntoView({ block: "start" });
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
