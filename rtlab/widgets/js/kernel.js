// Shared: detects that the kernel behind a widget has gone; divides keys between widget and JupyterLab.

const SILENT_MS = 8000; // a running plot sends several batches a second, and at least one every five seconds

/**
 * Call `gone(reason)` when the kernel has restarted, died or fallen silent, `gone(null)` when it is back.
 * `silence()` returns the milliseconds since the last message while messages are due, else 0; `permitted()`
 * how long it may be.
 */
function watchKernel(model, silence, gone, permitted = () => SILENT_MS) {
  let live = true;
  let told = false;
  const changed = () => {
    live = false; // for good: the next kernel does not know this widget
    gone("The kernel has restarted or ended. Run the first code cell again, then this one.");
  };
  model.on("comm_live_update", changed);
  const timer = setInterval(() => {
    if (!live) return; // of a kernel that is gone, its silence says nothing new
    const late = silence() > permitted();
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
 * Let a mouse click on these buttons move neither the focus nor the notebook's active cell: the next
 * Shift+Enter then runs the next cell, and does not press the button. Tab still reaches each button.
 */
function leaveKeysToNotebook(...buttons) {
  for (const button of buttons) {
    button.addEventListener("mousedown", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
