// Nodes, a chart of one reading over time, and alerts. Each message holds all of the latest polls, so that
// a tab that was hidden, or a page loaded again, misses nothing.

// The palette of Okabe and Ito, without yellow.
const NODE_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const NODE_DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const EDGE = { left: 46, right: 12, top: 26, bottom: 24 };

// Each point is drawn at the time of its poll: a poll that waited for a node that did not answer is late.
function paintBoard(canvas, axis, nodes, name, label, interval, runs) {
  const pen = penOf(canvas);
  if (!pen) return false;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const colors = theme(canvas);
  pen.font = `11px ${colors.font}`;
  const all = nodes.flatMap((node) => node.series[name]).filter((value) => value !== null);
  axis.fit(0, Math.max(0, ...all), false);
  const box = { w: width - EDGE.left - EDGE.right, h: height - EDGE.top - EDGE.bottom };
  // A running board leaves room for further polls; a run that has ended fills the width.
  const span = Math.max(runs ? 20 * interval : interval, ...nodes.flatMap((node) => node.ages));
  const x = (age) => EDGE.left + box.w * (1 - age / span);
  const y = (value) => EDGE.top + box.h * (1 - Math.min(1, axis.place(value)));
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const tick of all.length ? axis.ticks(box.h) : []) {
    pen.strokeStyle = colors.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(EDGE.left, y(tick));
    pen.lineTo(width - EDGE.right, y(tick));
    pen.stroke();
    pen.fillStyle = colors.faint;
    pen.fillText(tickLabel(tick), EDGE.left - 6, y(tick));
  }
  if (!all.length) {
    pen.fillStyle = colors.faint;
    pen.textAlign = "center";
    pen.fillText("no number: nothing of this kind has happened in these looks", EDGE.left + box.w / 2, EDGE.top + box.h / 2);
  }
  pen.textAlign = "left";
  pen.fillText(label, 4, 8);
  pen.fillText(`${tickLabel(Number(span.toPrecision(2)))} s ago`, EDGE.left, height - 9);
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
        if (open) pen.lineTo(x(node.ages[n]), y(value));
        else pen.moveTo(x(node.ages[n]), y(value));
        open = true;
      }
    });
    pen.stroke();
    // A reading between two polls without one is no line: a dot.
    pen.fillStyle = pen.strokeStyle;
    const reads = (n) => (values[n] ?? null) !== null;
    values.forEach((value, n) => {
      if (!reads(n) || reads(n - 1) || reads(n + 1)) return;
      pen.beginPath();
      pen.arc(x(node.ages[n]), y(value), 3, 0, 7);
      pen.fill();
    });
  });
  pen.setLineDash([]);
  return true;
}

function render({ model, el }) {
  const id = uniqueId("board");
  const readings = model.get("readings");
  beginPanel(el, "rtlab-board", "Metrics of all nodes");
  let heard = performance.now();
  const [gone, unwatch] = kernelNotice(
    model,
    () => (model.get("state") === "running" ? performance.now() - heard : 0),
    (reason) => {
      if (reason) stop.disabled = true;
      else running();
    },
    // A round of polls takes up to twice the interval if a node does not answer.
    () => Math.max(SILENT_MS, 3000 * (last?.interval ?? 0)),
  );
  const choice = element("select", { id: `${id}-choice` });
  choice.append(...readings.map(([value, textContent]) => element("option", { value, textContent })));
  choice.value = model.get("drawn");
  const stop = element("button", { type: "button", textContent: "Stop" });
  leaveKeysToNotebook(stop);
  stop.onclick = () => model.send({ kind: "stop" });
  const status = element("output", { className: "rtlab-status" });
  status.setAttribute("aria-live", "polite");
  const label = element("label", { htmlFor: choice.id, textContent: "drawn: " });
  const bar = element("div", { className: "rtlab-row" }, label, choice, stop, status);
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  const table = element("table");
  const list = element("div", { className: "rtlab-alerts" });
  const alerts = model.get("rules").map(([name, when, lesson]) => {
    const state = element("span", { className: "rtlab-state", textContent: "no data" });
    const head = element("summary", {}, state, ` ${name}`);
    const made = element("details", {}, head, element("code", { textContent: when }), element("p", { textContent: lesson }));
    list.append(made);
    return { state, made };
  });
  el.append(gone, bar, canvas, table, list);

  const axis = new Axis();
  let last = null;
  const number = (value, unit) => (value === null || value === undefined ? "–" : `${tickLabel(Number(value.toPrecision(3)))}${unit && ` ${unit}`}`);
  const paint = () => {
    if (!last) return false;
    const [name, text, unit] = readings.find(([known]) => known === choice.value);
    const told = last.nodes.map((node) => `${node.name} ${number(node.series[name].at(-1), unit)}`).join(", ");
    canvas.setAttribute("aria-label", `${text} over time. Now: ${told}.`);
    return paintBoard(canvas, axis, last.nodes, name, `${text}${unit && ` (${unit})`}`, last.interval, model.get("state") === "running");
  };
  const fill = () => {
    const cell = (tag, textContent) => element(tag, { textContent });
    const head = element("tr", {}, cell("th", "node"), ...readings.map(([, text, unit]) => cell("th", `${text}${unit && `, ${unit}`}`)));
    const rows = last.nodes.map((node, index) => {
      const name = cell("th", `${node.up ? "" : "✗ "}${node.name}${node.up ? "" : ": no answer"}`);
      name.scope = "row";
      name.style.borderLeft = `4px solid ${NODE_COLORS[index % NODE_COLORS.length]}`;
      return element("tr", {}, name, ...readings.map(([key]) => cell("td", number(node.series[key].at(-1), ""))));
    });
    table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
    alerts.forEach(({ state, made }, n) => {
      const found = last.states[n];
      const worst = ["firing", "pending", "quiet"].find((kind) => found.includes(kind)) ?? "no data";
      const where = last.nodes.filter((_, k) => found[k] === worst).map((node) => node.name);
      const some = worst === "no data" || where.length === found.length ? "" : `: ${where.join(", ")}`; // none if all
      const before = worst === "firing" || !last.fired[n].length ? "" : `, fired: ${last.fired[n].join(", ")}`;
      state.textContent = `${{ firing: "▲ ", pending: "△ " }[worst] ?? ""}${worst}${some}${before}`;
      made.dataset.state = worst;
    });
    // Set only when it has changed: a screen reader would speak it twice a second.
    if (status.textContent !== last.summary) status.textContent = last.summary;
  };
  const receive = (message) => {
    if (message.kind !== "board") return;
    heard = performance.now();
    last = message;
    requestAnimationFrame(() => {
      fill();
      if (paint()) model.send({ kind: "ack", seq: message.seq }); // none from a hidden tab: sending stops
    });
  };
  const running = () => {
    stop.disabled = model.get("state") !== "running";
    paint();
  };
  model.on("msg:custom", receive);
  model.on("change:state", running);
  running();
  choice.onchange = () => {
    axis.reset();
    paint();
  };
  model.send({ kind: "hello" });
  const still = paintAgain(canvas, paint);
  const letGo = keepInSight(model, el, ["change:state"], () => model.get("state") === "running");
  return () => {
    letGo();
    unwatch();
    still();
    model.off("msg:custom", receive);
    model.off("change:state", running);
  };
}

export default { render };
