// Shared: detects that the kernel behind a widget has gone.

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
