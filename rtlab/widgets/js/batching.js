// Sliders, numbers and the model's curve. The reader's actions go to the kernel as custom messages: while
// a cell awaits, JupyterLab delivers only the first save_changes().

const KNOBS = [
  ["rate", "messages, λ", (value) => `${value.toLocaleString("en")}/s`],
  ["size", "at most, B", (value) => (value === 1 ? "1: no wait" : `${value} a frame`)],
  ["wait", "longest wait, T", (value) => `${value} ms`],
  ["rtt", "round trip", (value) => `${value} ms`],
];
const ROWS = [
  ["delay_ms", "added delay, mean", "ms"],
  ["per_frame", "messages per frame", ""],
  ["frames_per_s", "frames per second", ""],
  ["bytes_per_s", "payload bytes per second", ""],
  ["server_us", "server CPU per message", "µs"],
  ["client_us", "this kernel's, per message", "µs"],
];
const BLUE = "#0072B2";
const VERMILION = "#D55E00";
const BOX = { left: 44, right: 12, top: 20, bottom: 30 };

/** Draw the closed form over T, the present setting on it, and the delay measured at this T. */
function paintCurve(canvas, { curve, delay_ms: expected }, found, wait) {
  const pen = curve && penOf(canvas);
  if (!pen) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const colors = theme(canvas);
  const [first, last] = [curve[0][0], curve.at(-1)[0]];
  const axis = new Axis();
  axis.fit(0, Math.max(...curve.map(([, ms]) => ms), found ?? 0), false);
  const box = { w: width - BOX.left - BOX.right, h: height - BOX.top - BOX.bottom };
  const x = (ms) => BOX.left + (Math.log(ms / first) / Math.log(last / first)) * box.w;
  const y = (ms) => BOX.top + box.h * (1 - Math.min(1, axis.place(ms)));
  pen.font = `11px ${colors.font}`;
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const tick of axis.ticks(box.h)) {
    pen.strokeStyle = colors.grid;
    pen.beginPath();
    pen.moveTo(BOX.left, y(tick));
    pen.lineTo(width - BOX.right, y(tick));
    pen.stroke();
    pen.fillStyle = colors.faint;
    pen.fillText(tickLabel(tick), BOX.left - 6, y(tick));
  }
  pen.textBaseline = "top";
  pen.textAlign = "center";
  for (const tick of [1, 10, 100, 500]) pen.fillText(tickLabel(tick), x(tick), height - BOX.bottom + 4);
  pen.fillText("T (ms)", BOX.left + box.w / 2, height - 12);
  pen.textAlign = "left";
  pen.fillText("added delay (ms): ○ closed form, × measured", 4, 2);
  pen.strokeStyle = tone(BLUE, colors.dark);
  pen.lineWidth = 2;
  pen.beginPath();
  curve.forEach(([t, ms], n) => (n ? pen.lineTo(x(t), y(ms)) : pen.moveTo(x(t), y(ms))));
  pen.stroke();
  pen.beginPath();
  pen.arc(x(wait), y(expected), 6, 0, 7);
  pen.stroke();
  if (found === undefined) return;
  pen.strokeStyle = tone(VERMILION, colors.dark);
  pen.beginPath();
  for (const side of [-1, 1]) {
    pen.moveTo(x(wait) - 6, y(found) - 6 * side);
    pen.lineTo(x(wait) + 6, y(found) + 6 * side);
  }
  pen.stroke();
}

function render({ model, el }) {
  const id = uniqueId("batching");
  beginPanel(el, "rtlab-batching", "Batching: rate, frame size, wait and round trip");
  keepArrowKeys(el);
  let heard = 0;
  const [gone, unwatch] = kernelNotice(
    model,
    () => (model.get("running") ? performance.now() - heard : 0),
    (reason) => {
      for (const { input } of sliders) input.disabled = Boolean(reason);
    },
  );
  const knobs = element("div", { className: "rtlab-knobs" });
  const choices = model.get("choices");

  const sliders = KNOBS.map(([name, text, words]) => {
    const input = element("input", { type: "range", min: 0, max: choices[name].length - 1, step: 1 });
    input.id = `${id}-${name}`;
    const shown = element("output", { htmlFor: input.id });
    const tell = () => {
      shown.textContent = words(choices[name][input.value]);
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.oninput = () => {
      tell();
      model.send({ set: { [name]: choices[name][input.value] } });
    };
    knobs.append(element("label", { htmlFor: input.id, textContent: text }), input, shown);
    return { name, input, tell };
  });

  const cells = ROWS.map(([name, text, unit]) => {
    const [measured, expected] = [element("td"), element("td")];
    const row = element("tr", {}, element("th", { scope: "row", textContent: text }), measured, expected);
    return { name, unit, measured, expected, row };
  });
  const heads = ["", "measured", "closed form"].map((textContent, n) =>
    element(n ? "td" : "th", { textContent }),
  );
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)));
  table.append(element("tbody", {}, ...cells.map(({ row }) => row)));
  knobs.append(table);
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  const status = element("output");
  status.setAttribute("aria-live", "polite");
  const [code, forget] = copyAsCode(model, "this setting as code");
  el.append(gone, knobs, element("div", {}, canvas), element("div", { className: "rtlab-wide" }, status), code);

  const number = (value, unit) => (value === undefined ? "–" : `${short(value)}${unit && ` ${unit}`}`);
  const paint = () => {
    const { wait } = model.get("settings");
    const [found, expected] = [model.get("found"), model.get("model")];
    paintCurve(canvas, expected, found.delay_ms, wait);
    canvas.setAttribute(
      "aria-label",
      `Added delay over the wait T. At ${wait} ms: closed form ${short(expected.delay_ms)} ms, ` +
        `measured ${found.delay_ms === undefined ? "not yet" : `${short(found.delay_ms)} ms`}.`,
    );
  };
  const show = () => {
    heard = performance.now();
    const settings = model.get("settings");
    for (const { name, input, tell } of sliders) {
      // Never move a slider that the reader is using.
      if (document.activeElement !== input) input.value = choices[name].indexOf(settings[name]);
      tell();
    }
    const [found, expected] = [model.get("found"), model.get("model")];
    for (const { name, unit, measured, expected: cell } of cells) {
      measured.textContent = number(found[name], unit);
      cell.textContent = name in expected ? number(expected[name], unit) : "";
    }
    paint();
  };
  const told = () => (status.textContent = model.get("status"));
  model.on("change", show);
  model.on("change:status", told);
  show();
  told();

  const still = paintAgain(canvas, paint);
  return () => {
    unwatch();
    still();
    forget();
    model.off("change", show);
    model.off("change:status", told);
  };
}

export default { render };
