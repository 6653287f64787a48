// Shared by panels: elements, Copy as code, the notice that the kernel has gone, repainting.

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Return an id that no other element of the page has. It is random, not counted: each widget loads a module
 * of its own, which would count from 1.
 */
function uniqueId(name) {
  return `rtlab-${name}-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
}

/** Make `el` a panel in which JupyterLab's shortcuts take no keys. */
function beginPanel(el, className, label) {
  el.classList.add("rtlab-panel", className);
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", label);
  el.setAttribute("data-lm-suppress-shortcuts", "true");
}

/**
 * Make the button, and the text of the model's `code`. Returns the element to append, and a function that
 * ends its updates. If the page may not use the clipboard, the text is selected, and Ctrl+C copies it.
 */
function copyAsCode(model, title = "these settings as code") {
  const button = element("button", { type: "button", textContent: "Copy as code", className: "rtlab-copy" });
  const status = element("output");
  status.setAttribute("aria-live", "polite");
  const pre = element("pre");
  const text = element("details", {}, element("summary", { textContent: title }), pre);
  const box = element("div", { className: "rtlab-wide rtlab-code" }, button, status, text);
  button.onclick = async () => {
    text.open = true;
    try {
      await navigator.clipboard.writeText(model.get("code"));
      status.textContent = "copied: paste it into a cell";
    } catch {
      getSelection().selectAllChildren(pre);
      status.textContent = "marked: copy it with Ctrl+C";
    }
  };
  const show = () => {
    if (pre.textContent !== model.get("code")) status.textContent = "";
    pre.textContent = model.get("code");
    box.hidden = !model.get("code");
  };
  model.on("change:code", show);
  show();
  return [box, () => model.off("change:code", show)];
}

/**
 * Make a line that says when the kernel has gone; `told(reason)` then disables the controls that need it.
 * `silence` and `permitted` are those of `watchKernel`. Returns the element to append, and a function that
 * ends its updates.
 */
function kernelNotice(model, silence, told, permitted) {
  const notice = element("div", { className: "rtlab-wide rtlab-gone", hidden: true, role: "alert" });
  const tell = (reason) => {
    notice.textContent = reason ?? "";
    notice.hidden = !reason;
    told(reason);
  };
  const unwatch = watchKernel(model, silence, tell, permitted);
  return [notice, unwatch];
}

/** Repaint when the canvas changes its size, or the page its theme. Returns a function that ends this. */
function paintAgain(canvas, paint) {
  const resized = new ResizeObserver(paint);
  resized.observe(canvas);
  const themed = new MutationObserver(() => setTimeout(paint, 300)); // the theme's style sheet arrives later
  themed.observe(document.body, { attributes: true });
  return () => {
    resized.disconnect();
    themed.disconnect();
  };
}

/** Return a drawing context in CSS pixels, at the screen's resolution; null while the canvas is hidden. */
function penOf(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return null;
  const ratio = globalThis.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}
