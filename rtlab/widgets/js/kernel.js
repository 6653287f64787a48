// Shared: notices that the kernel behind a widget has gone; leaves a slider its arrow keys.

const SILENT_MS = 8000; // a running plot sends several batches a second, and one every five at least

/**
 * Call `gone(reason)` when the kernel has restarted or died, and `gone(null)` when it speaks again.
 * `silence()` returns milliseconds since the last message while some are due, else 0.
 */
function watchKernel(model, silence, gone) {
  let live = true;
  const changed = () => {
    live = !live; // the event carries no value; a model begins alive
    gone(live ? null : "The kernel has restarted or ended. Run the first code cell again, then this one.");
  };
  model.on("comm_live_update", changed);
  let told = false;
  const timer = setInterval(() => {
    const late = live && silence() > SILENT_MS;
    if (late !== told) gone(late ? "No news from the kernel: it is busy, or has ended." : null);
    told = late;
  }, 1000);
  return () => {
    clearInterval(timer);
    model.off("comm_live_update", changed);
  };
}

/** Keep the arrow keys on sliders: JupyterLab's shortcuts, at the document, would select another cell. */
function keepArrowKeys(el) {
  el.addEventListener("keydown", (event) => {
    if (event.target.type === "range" && event.key.startsWith("Arrow")) event.stopPropagation();
  });
}

/**
 * A click of the mouse leaves the focus, and the notebook's active cell, where they are: the next Shift+Enter
 * runs the next cell, and presses no button. With Tab each can be reached all the same.
 */
function leaveKeysToNotebook(...buttons) {
  for (const button of buttons) {
    button.addEventListener("mousedown", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
