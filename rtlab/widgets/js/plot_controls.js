// Part 5: the elements around the canvas: buttons, legend, read-out and the summary in words.

const MODES = [
  ["latency", "Total", "intended send time to received"],
  ["transit", "Transit", "really sent to received"],
  ["lateness", "Lateness", "intended to really sent: the sender's schedule"],
];

function make(tag, className, attributes = {}, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...children);
  return element;
}

function button(label, hint, pressed = null) {
  const attributes = { type: "button", title: hint };
  if (pressed !== null) attributes["aria-pressed"] = String(pressed);
  return make("button", "rtlab-button", attributes, label);
}

/** A key of the legend: a small drawing and its meaning. */
function key(className, text) {
  return make("span", "rtlab-key", {}, make("i", className, { "aria-hidden": "true" }), text);
}

class Controls {
  constructor(root, model, store) {
    this.model = model;
    this.store = store;
    this.spoken = "";
    this.title = make("div", "rtlab-title");
    this.status = make("div", "rtlab-status");
    this.pause = button("Pause", "Freeze the picture; recording goes on (Space)", false);
    this.log = button("Log y", "Logarithmic vertical axis (L)", false);
    this.stop = button("Stop", "End the run");
    this.p95 = button("p95", "Show the 95th percentile too (P)", false);
    this.order = button("By send time", "Delay over the intended send time: stalls become falling lines (X)", false);
    this.modes = MODES.map(([, label, hint]) => button(label, `${hint} (M)`, false));
    const group = make("span", "rtlab-group", { role: "group", "aria-label": "What to show" }, ...this.modes);
    const heading = make("div", "rtlab-heading", {}, this.title, this.status);
    const bar = make("div", "rtlab-bar", {}, heading, group, this.log, this.p95, this.order, this.pause, this.stop);
    this.canvas = make("canvas", "rtlab-canvas", { tabindex: "0", role: "img" });
    this.readout = make("div", "rtlab-readout", { role: "status", hidden: "" });
    const stage = make("div", "rtlab-stage", {}, this.canvas, this.readout);
    this.series = make("span", "rtlab-series");
    this.keys = make(
      "span",
      "rtlab-keys",
      {},
      (this.solid = key("rtlab-line", "p50, of the last 2 s")),
      (this.dashed = key("rtlab-line rtlab-dashed", "p95")),
      (this.dotted = key("rtlab-line rtlab-dotted", "p99")),
      key("rtlab-dot", "sample"),
      key("rtlab-ring", "mostly schedule lateness"),
      key("rtlab-late", "× kernel's loop was late"),
    );
    this.note = make("div", "rtlab-note", { hidden: "" });
    this.summary = make("div", "rtlab-hidden", { "aria-live": "polite" });
    this.gone = make("div", "rtlab-gone", { role: "alert", hidden: "" });
    this.last = make("summary", "");
    this.list = make("ol", "rtlab-events-list");
    this.events = make("details", "rtlab-events", { hidden: "" }, this.last, this.list);
    const legend = make("div", "rtlab-legend", {}, this.series, this.keys);
    root.append(bar, this.gone, stage, legend, this.events, this.note, this.summary);

    this.pause.onclick = () => this.set("paused", !model.get("paused"));
    this.log.onclick = () => this.set("log_y", !model.get("log_y"));
    this.p95.onclick = () => this.set("p95", !model.get("p95"));
    this.order.onclick = () => this.set("order", model.get("order") === "received" ? "intended" : "received");
    this.stop.onclick = () => {
      this.offerStop(false);
      model.send({ kind: "stop" });
    };
    this.modes.forEach((element, n) => (element.onclick = () => this.set("mode", MODES[n][0])));
    leaveKeysToNotebook(this.pause, this.log, this.p95, this.order, this.stop, ...this.modes);
  }

  /** Enable or disable Stop. A disabled button would swallow every key, so the focus moves away first. */
  offerStop(offered) {
    if (!offered && document.activeElement === this.stop) this.canvas.focus({ preventScroll: true });
    this.stop.disabled = !offered;
  }

  /**
   * Change a setting here, and by a custom message in the kernel: while a cell awaits, JupyterLab
   * delivers only the first save_changes(), and keeps the others until the cell has ended.
   */
  set(name, value) {
    this.model.set(name, value);
    this.model.send({ kind: "set", name, value });
  }

  nextMode() {
    const at = MODES.findIndex(([name]) => name === this.model.get("mode"));
    this.set("mode", MODES[(at + 1) % MODES.length][0]);
  }

  /** Show the model's settings. */
  settings() {
    const { model } = this;
    const state = model.get("state");
    const paused = model.get("paused");
    this.title.textContent = model.get("title");
    this.pause.textContent = paused ? "Resume" : "Pause";
    this.pause.setAttribute("aria-pressed", String(paused));
    this.log.setAttribute("aria-pressed", String(model.get("log_y")));
    this.p95.setAttribute("aria-pressed", String(model.get("p95")));
    this.order.setAttribute("aria-pressed", String(model.get("order") === "intended"));
    this.modes.forEach((element, n) => {
      element.setAttribute("aria-pressed", String(MODES[n][0] === model.get("mode")));
    });
    this.offerStop(state === "running" && this.gone.hidden);
    this.stop.textContent = state === "stopping" ? "Stopping…" : state === "stopped" ? "Stopped" : "Stop";
    this.keys.dataset.mode = model.get("mode");
    this.counts();
  }

  /** Show the numbers, with one legend entry per series. */
  counts() {
    const { store, model } = this;
    const mode = model.get("mode");
    const life = model.get("state");
    const state = model.get("paused") ? (life === "running" ? "paused" : `${life}, paused`) : life;
    const part = store.stride > 1 ? `, 1 of ${store.stride} drawn` : "";
    this.status.textContent = `${state} · ${store.total.toLocaleString("en")} samples${part}`;
    const dark = document.body.dataset.jpThemeLight === "false";
    const entries = store.series.map((series, index) => {
      const stats = store.stats[index];
      const rate = stats?.rate ? ` ${Math.round(stats.rate).toLocaleString("en")}/s` : "";
      const kind = !series.echo ? "" : mode === "latency" ? " (round trip)" : ` (round trips have no ${mode})`;
      return [tone(series.color, dark), `${series.name}${kind}${rate}`];
    });
    this.name(entries);
    // Percentile lines need the time of arrival as axis, and some samples; the legend follows.
    const lines = store.ranked && model.get("order") !== "intended";
    this.solid.hidden = this.dotted.hidden = !lines;
    this.dashed.hidden = !lines || !model.get("p95");
    const notes = store.series.filter((s) => s.note && !s.echo).map((s) => `${s.name}: ${s.note}`);
    if (mode !== "transit" && store.series.some((s) => s.coarse)) {
      notes.push("The sender's timer fires in whole milliseconds here: up to 1 ms of lateness is rounding.");
    }
    this.note.hidden = !notes.length;
    this.note.textContent = notes.join(" · ");
    this.told();
  }

  /** Show the series' colours and texts, if they are not shown already. */
  name(entries) {
    const named = JSON.stringify(entries);
    if (named === this.named) return;
    this.named = named;
    const elements = entries.map(([color, text]) => {
      const swatch = make("i", "rtlab-swatch", { "aria-hidden": "true" });
      swatch.style.background = color;
      return make("span", "rtlab-key", {}, swatch, text);
    });
    this.series.replaceChildren(...elements);
  }

  /** Show the events: the last one in a line, and the latest 50 when that is opened. */
  told() {
    const { marks, marked } = this.store;
    const newest = marks.at(-1);
    const seen = newest ? `${marked} ${newest[0]}` : "";
    this.events.hidden = !newest;
    if (seen === this.listed) return;
    this.listed = seen;
    const line = ([t, kind, text]) => `${t.toFixed(2)} s  ${markText(kind, text)}`;
    this.last.textContent = newest ? `Events: ${marked}. Last: ${line(newest)}` : "";
    this.list.replaceChildren(...marks.toReversed().slice(0, 50).map((mark) => make("li", "", {}, line(mark))));
  }

  /** Say that the kernel is gone, and disable Stop, which needs the kernel. */
  setGone(reason) {
    this.gone.hidden = !reason;
    this.gone.textContent = reason ?? "";
    this.settings();
  }

  /** Describe the plot in words for a screen reader; called at most every two seconds. */
  speak() {
    const { store, model } = this;
    const mode = model.get("mode");
    const parts = store.series.map((series, index) => {
      const found = store.stats[index]?.[mode];
      if (!found) {
        const latest = store.latest(index, mode);
        if (Number.isNaN(latest)) return `${series.name}: no ${mode}.`;
        return `${series.name}: latest ${mode} ${short(latest)} milliseconds, no percentiles of the last 2 seconds.`;
      }
      const [p50, p95, p99] = found.map(short);
      return `${series.name}: ${mode} p50 ${p50}, p95 ${p95}, p99 ${p99} milliseconds, of the last 2 seconds.`;
    });
    const since = store.now - model.get("window");
    const late = store.late.filter(([, to]) => to >= since).length;
    if (late) parts.push(`The kernel's loop was late ${late} times.`);
    const mark = store.marks.at(-1);
    if (mark) parts.push(`Last event: ${mark[1]} at ${mark[0].toFixed(1)} seconds.`);
    const text = parts.join(" ") || "No samples yet.";
    this.canvas.setAttribute("aria-label", `${model.get("title")}. ${text} Arrow keys step through the samples.`);
    if (text !== this.spoken) this.summary.textContent = this.spoken = text;
  }

  /** Show one sample in full, beside its point. */
  read(painter, picked) {
    const found = picked === null ? null : painter.drawn.find(([, , n]) => n === picked);
    this.readout.hidden = !found;
    if (!found) return;
    const { store } = this;
    const place = store.points.at(picked);
    const { t, latency, lateness, series, late } = store.points.columns;
    const owner = store.series[series[place]];
    const lines = [`${owner?.name ?? "?"} at ${t[place].toFixed(3)} s`];
    lines.push(`${owner?.echo ? "round trip" : "total"} ${short(latency[place])} ms`);
    if (!Number.isNaN(lateness[place])) {
      lines.push(`lateness ${short(lateness[place])} + transit ${short(latency[place] - lateness[place])} ms`);
    }
    if (late[place]) lines.push("the kernel's loop was late");
    this.readout.textContent = lines.join("\n");
    const right = found[0] > this.canvas.clientWidth / 2;
    this.readout.style.left = right ? "" : `${found[0] + 12}px`;
    this.readout.style.right = right ? `${this.canvas.clientWidth - found[0] + 12}px` : "";
    this.readout.style.top = `${Math.max(4, Math.min(found[1] - 10, this.canvas.clientHeight - 90))}px`;
  }
}
