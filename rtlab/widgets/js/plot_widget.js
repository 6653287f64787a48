// Part 6: one store per model, one painter per view, and acknowledgements of what was seen.

const SPEAK_MS = 2000;
const SHOWN = ["title", "paused", "state", "window", "p95", "order"];
const SCALED = ["mode", "log_y"];
const ACK_EVERY = 8; // batches; the kernel allows 16 unacknowledged
const COUNTS_MS = 190; // about as often as there are new percentiles: changed text costs a layout of the page

function render({ model, el }, store) {
  el.classList.add("rtlab-plot");
  el.setAttribute("role", "group");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab: M would turn the cell into Markdown
  el.setAttribute("aria-label", model.get("title"));
  const controls = new Controls(el, model, store);
  const painter = new Painter(controls.canvas, store);
  const { canvas } = controls;
  const undo = [];
  let frame = 0;
  let picked = null;
  let spoke = 0;
  let counted = 0;

  function draw(now) {
    frame = 0;
    const settings = { mode: model.get("mode"), log: model.get("log_y"), window: model.get("window") };
    for (const name of ["p95", "order"]) settings[name] = model.get(name);
    if (!painter.paint({ ...settings, picked })) return; // hidden: not seen, so not acknowledged
    if (now - counted >= COUNTS_MS || model.get("state") !== "running" || model.get("paused")) {
      counted = now;
      controls.counts();
    }
    controls.read(painter, picked);
    if (now - spoke >= SPEAK_MS) {
      spoke = now;
      controls.speak();
    }
    if (store.seq - store.acked >= ACK_EVERY) {
      store.acked = store.seq;
      model.send({ kind: "ack", seq: store.seq });
    }
  }

  function schedule() {
    frame ||= requestAnimationFrame(draw);
  }

  function listen(target, name, handler) {
    target.addEventListener(name, handler);
    undo.push(() => target.removeEventListener(name, handler));
  }

  function observe(observer, ...target) {
    observer.observe(...target);
    undo.push(() => observer.disconnect());
  }

  const keys = {
    ArrowLeft: () => (picked = painter.step(picked, -1)),
    ArrowRight: () => (picked = painter.step(picked, 1)),
    Escape: () => (picked = null),
    " ": () => controls.pause.click(),
    l: () => controls.log.click(),
    m: () => controls.nextMode(),
    p: () => controls.p95.click(),
    x: () => controls.order.click(),
  };
  listen(el, "keydown", (event) => {
    const handler = event.target === canvas && !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
    if (handler) {
      handler();
      event.preventDefault();
      schedule();
    }
  });
  listen(canvas, "pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    picked = painter.nearest(event.clientX - box.left, event.clientY - box.top);
    schedule();
  });
  listen(canvas, "pointerleave", () => {
    picked = null;
    schedule();
  });

  const changed = () => {
    controls.settings();
    spoke = 0;
    schedule();
  };
  const rescaled = () => {
    painter.axis.reset();
    painter.right = 0;
    changed();
  };
  for (const name of SHOWN) model.on(`change:${name}`, changed);
  for (const name of SCALED) model.on(`change:${name}`, rescaled);
  undo.push(() => {
    for (const name of SHOWN) model.off(`change:${name}`, changed);
    for (const name of SCALED) model.off(`change:${name}`, rescaled);
  });
  store.listeners.add(schedule);
  undo.push(() => store.listeners.delete(schedule));

  observe(new ResizeObserver(schedule), canvas);
  observe(new MutationObserver(schedule), document.body, { attributes: true });
  // A new theme's style sheet arrives after the attribute that announces it.
  const sheets = new MutationObserver(() => setTimeout(schedule, 300));
  observe(sheets, document.head, { childList: true });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", schedule);
  listen(globalThis, "resize", schedule); // also a new pixel ratio

  const due = () => model.get("state") === "running" && !model.get("paused") && !document.hidden;
  const seen = () => canvas.clientWidth > 0;
  undo.push(
    watchKernel(
      model,
      () => (due() && seen() ? performance.now() - store.heard : 0),
      (reason) => controls.setGone(reason),
    ),
  );

  // If an output exceeds the window, JupyterLab's own scrolling leaves the plot's title and Stop above it.
  undo.push(keepInSight(model, el, ["change:state"], () => model.get("state") === "running"));

  controls.settings();
  schedule();
  model.send({ kind: "hello" });
  return () => {
    cancelAnimationFrame(frame);
    for (const step of undo) step();
  };
}

export default () => {
  const store = new Store();
  return {
    initialize({ model }) {
      const take = (message, buffers) => {
        if (message.kind === "batch") store.take(message, buffers[0]);
      };
      model.on("msg:custom", take);
      return () => model.off("msg:custom", take);
    },
    render: (context) => render(context, store),
  };
};
