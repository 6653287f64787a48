// Nodes, a chart of one reading over time, and alerts. Numbers come as messages, each with the whole
// of the last looks, so that a tab which was hidden, or a page loaded again, lacks nothing.

let boards = 0;
// Okabe and Ito, without the colours of transports' own plots that stand beside it.
const NODE_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const NODE_DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const EDGE = { left: 46, right: 12, top: 26, bottom: 24 };

function item(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function paintBoard(canvas, axis, nodes, name, label, interval) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return false;
  const ratio = globalThis.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const colors = theme(canvas);
  pen.font = `11px ${colors.font}`;
  const all = nodes.flatMap((node) => node.series[name]).filter((value) => value !== null);
  axis.fit(0, Math.max(0, ...all), false);
  const box = { w: width - EDGE.left - EDGE.right, h: height - EDGE.top - EDGE.bottom };
  const most = Math.max(20, ...nodes.map((node) => node.series[name].length));
  const x = (n, count) => EDGE.left + (box.w * (most - count + n)) / Math.max(1, most - 1);
  const y = (value) => EDGE.top + box.h * (1 - Math.min(1, axis.place(value)));
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const tick of axis.ticks(box.h)) {
    pen.strokeStyle = colors.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(EDGE.left, y(tick));
    pen.lineTo(width - EDGE.right, y(tick));
    pen.stroke();
    pen.fillStyle = colors.faint;
    pen.fillText(tickLabel(tick), EDGE.left - 6, y(tick));
  }
  pen.textAlign = "left";
  pen.fillText(label, 4, 8);
  pen.fillText(`${tickLabel((most - 1) * interval)} s ago`, EDGE.left, height - 9);
  pen.textAlign = "right";
  pen.fillText("now", width - EDGE.right, height - 9);
  nodes.forEach((node, index) => {
    const values = node.series[name];
    pen.strokeStyle = tone(NODE_COLORS[index % NODE_COLORS.length], colors.dark);
    pen.setLineDash(NODE_DASHES[index % NODE_DASHES.length]);
    pen.lineWidth = 2;
    pen.beginPath();
    let open = false; // a line ends where a node did not answer
    values.forEach((value, n) => {
      if (value === null) open = false;
      else {
        if (open) pen.lineTo(x(n, values.length), y(value));
        else pen.moveTo(x(n, values.length), y(value));
        open = true;
      }
    });
    pen.stroke();
  });
  pen.setLineDash([]);
  return true;
}

function render({ model, el }) {
  const id = `rtlab-board-${(boards += 1)}`;
  const readings = model.get("readings");
  el.classList.add("rtlab-board");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Metrics of all nodes");
  el.setAttribute("data-lm-suppress-shortcuts", "true");

  const gone = item("div", { className: "rtlab-gone", hidden: true });
  gone.setAttribute("role", "alert");
  const choice = item("select", { id: `${id}-choice` });
  choice.append(...readings.map(([value, textContent]) => item("option", { value, textContent })));
  choice.value = "turn";
  const stop = item("button", { type: "button", textContent: "Stop" });
  leaveKeysToNotebook(stop);
  stop.onclick = () => model.send({ kind: "stop" });
  const status = item("output", { className: "rtlab-status" });
  status.setAttribute("aria-live", "polite");
  const label = item("label", { htmlFor: choice.id, textContent: "drawn: " });
  const bar = item("div", { className: "rtlab-row" }, label, choice, stop, status);
  const canvas = item("canvas");
  canvas.setAttribute("role", "img");
  const table = item("table");
  const list = item("div", { className: "rtlab-alerts" });
  const alerts = model.get("rules").map(([name, when, lesson]) => {
    const state = item("span", { className: "rtlab-state", textContent: "no data" });
    const head = item("summary", {}, state, ` ${name}`);
    const made = item("details", {}, head, item("code", { textContent: when }), item("p", { textContent: lesson }));
    list.append(made);
    return { state, made };
  });
  el.append(gone, bar, canvas, table, list);

  const axis = new Axis();
  let last = null;
  let heard = performance.now();
  const number = (value, unit) => (value === null || value === undefined ? "–" : `${tickLabel(Number(value.toPrecision(3)))}${unit && ` ${unit}`}`);
  const paint = () => {
    if (!last) return false;
    const [name, text, unit] = readings.find(([known]) => known === choice.value);
    const told = last.nodes.map((node) => `${node.name} ${number(node.series[name].at(-1), unit)}`).join(", ");
    canvas.setAttribute("aria-label", `${text} over time. Now: ${told}.`);
    return paintBoard(canvas, axis, last.nodes, name, `${text}${unit && ` (${unit})`}`, last.interval);
  };
  const fill = () => {
    const cell = (tag, textContent) => item(tag, { textContent });
    const head = item("tr", {}, cell("th", "node"), ...readings.map(([, text, unit]) => cell("th", `${text}${unit && `, ${unit}`}`)));
    const rows = last.nodes.map((node, index) => {
      const name = cell("th", `${node.up ? "" : "✗ "}${node.name}${node.up ? "" : ": no answer"}`);
      name.scope = "row";
      name.style.borderLeft = `4px solid ${NODE_COLORS[index % NODE_COLORS.length]}`;
      return item("tr", {}, name, ...readings.map(([key]) => cell("td", number(node.series[key].at(-1), ""))));
    });
    table.replaceChildren(item("thead", {}, head), item("tbody", {}, ...rows));
    alerts.forEach(({ state, made }, n) => {
      const found = last.states[n];
      const worst = ["firing", "pending", "quiet"].find((kind) => found.includes(kind)) ?? "no data";
      const where = last.nodes.filter((_, k) => found[k] === worst).map((node) => node.name);
      const some = worst === "no data" || where.length === found.length ? "" : `: ${where.join(", ")}`; // not of all
      state.textContent = `${{ firing: "▲ ", pending: "△ " }[worst] ?? ""}${worst}${some}`;
      made.dataset.state = worst;
    });
    if (status.textContent !== last.summary) status.textContent = last.summary; // said once, not twice a second
  };
  const receive = (message) => {
    if (message.kind !== "board") return;
    heard = performance.now();
    last = message;
    requestAnimationFrame(() => {
      fill();
      if (paint()) model.send({ kind: "ack", seq: message.seq }); // a hidden tab stops the sending
    });
  };
  const running = () => (stop.disabled = model.get("state") !== "running");
  model.on("msg:custom", receive);
  model.on("change:state", running);
  running();
  choice.onchange = () => {
    axis.reset();
    paint();
  };
  model.send({ kind: "hello" });
  const resized = new ResizeObserver(paint);
  resized.observe(canvas);
  const themed = new MutationObserver(() => setTimeout(paint, 300)); // the style sheet comes after
  themed.observe(document.body, { attributes: true });
  const unwatch = watchKernel(
    model,
    () => (model.get("state") === "running" ? performance.now() - heard : 0),
    (reason) => {
      gone.textContent = reason ?? "";
      gone.hidden = !reason;
      if (reason) stop.disabled = true;
      else running();
    },
  );
  return () => {
    unwatch();
    resized.disconnect();
    themed.disconnect();
    model.off("msg:custom", receive);
    model.off("change:state", running);
  };
}

export default { render };
