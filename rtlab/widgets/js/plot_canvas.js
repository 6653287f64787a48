// Part 4: the canvas.

const MARGIN = { left: 52, right: 40, top: 22, bottom: 34 };
const LABEL_SHARE = 0.3; // largest share of the width for the names at the lines' ends
const LABEL_STEP = 8; // pixels by which the labels' room grows
const LINE_GAP = 0.7; // seconds: a line breaks where its readings, one every 0.2 s, are further apart
const UNITS = {
  latency: "latency (ms)",
  transit: "transit, sent to received (ms)",
  lateness: "schedule lateness (ms)",
};
const DASHES = { p50: [], p95: [6, 4], p99: [1.5, 3] };

class Painter {
  constructor(canvas, store) {
    this.canvas = canvas;
    this.store = store;
    this.axis = new Axis();
    this.layer = new PointLayer();
    this.drawn = []; // [x, y, n] of each visible point, in order of time
    this.rows = 0; // rows for the marks' texts
    this.right = 0; // room for the labels: it only grows, or the whole picture would move with a digit
  }

  /** Draw everything; return false if the canvas is hidden (has no size), so that nobody has seen it. */
  paint({ mode, log, window, picked, p95, order }) {
    const { canvas, store } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return false;
    const ratio = globalThis.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const colors = theme(canvas);
    pen.font = `11px ${colors.font}`;

    const byIntended = order === "intended";
    const names = Object.keys(DASHES).filter((name) => p95 || name !== "p95");
    const ends = byIntended ? [] : this.ends(mode, names);
    const widest = Math.max(0, ...ends.map(({ owner, said }) => pen.measureText(owner + said).width + 14));
    this.right = Math.max(this.right, LABEL_STEP * Math.ceil(widest / LABEL_STEP));
    const right = Math.min(ends.length ? Math.max(MARGIN.right, this.right) : MARGIN.right, width * LABEL_SHARE);
    const box = { x: MARGIN.left, y: MARGIN.top };
    box.w = Math.floor(width - MARGIN.left - right);
    const end = Math.max(store.now, window);
    const start = end - window;
    const x = (t) => box.x + ((t - start) / window) * box.w;
    const most = Math.min(MARK_ROWS, Math.floor(height / 75));
    const needed = store.marks.length ? markRows(pen, x, { start, end, window, most }, store.marks) : 0;
    this.rows = needed && Math.max(needed, this.rows); // never fewer while there are marks: no jumping
    const rows = this.rows;
    if (rows) box.y += MARK_ROW * rows + 8;
    box.h = height - box.y - MARGIN.bottom;
    const { t, latency } = store.points.columns;
    const when = byIntended ? (place) => t[place] - latency[place] / 1e3 : (place) => t[place];
    const visible = this.collect(start, end, mode, when);
    this.axis.fit(visible.low, visible.high, log);
    const y = (v) => box.y + box.h * (1 - this.axis.place(v));
    const frame = { pen, colors, box, x, y, when, start, end, window, rows, mode, ratio, byIntended };

    this.shade(frame);
    this.grid(frame);
    pen.save();
    pen.beginPath();
    pen.rect(box.x, box.y - 4, box.w, box.h + 8);
    pen.clip();
    drawMarks(frame, store.marks);
    this.scatter(frame, visible.places);
    if (!byIntended) this.lines(frame, names);
    pen.restore();
    this.labels(frame, ends);
    drawMarkTexts(frame, store.marks);
    if (!visible.places.length) this.empty(frame);
    if (picked !== null) this.highlight(frame, picked);
    return true;
  }

  collect(start, end, mode, when) {
    const { points } = this.store;
    const places = [];
    let [low, high] = [Infinity, 0];
    for (let n = points.written - 1; n >= points.first; n--) {
      const place = points.at(n);
      if (points.columns.t[place] < start - 1) break;
      const t = when(place);
      const value = this.store.value(place, mode);
      if (t < start || t > end || Number.isNaN(value)) continue;
      places.push(n);
      if (value > high) high = value;
      if (value > 0 && value < low) low = value;
    }
    return { places: places.reverse(), low, high };
  }

  shade({ pen, colors, box, x, start, end }) {
    pen.fillStyle = colors.late;
    let painted = box.x; // shaded up to here: overlapping shades would be darker than in the legend
    for (const [from, to] of this.store.late) {
      if (to < start || from > end) continue;
      const right = Math.max(Math.max(box.x, x(from)) + 2, Math.min(box.x + box.w, x(to)));
      const left = Math.max(painted, x(from));
      if (right > left) pen.fillRect(left, box.y, right - left, box.h);
      painted = Math.max(painted, right);
    }
  }

  grid({ pen, colors, box, x, y, start, end, mode, byIntended }) {
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const tick of this.axis.ticks(box.h)) {
      const at = Math.round(y(tick)) + 0.5;
      pen.strokeStyle = colors.grid;
      pen.beginPath();
      pen.moveTo(box.x, at);
      pen.lineTo(box.x + box.w, at);
      pen.stroke();
      pen.fillStyle = colors.faint;
      pen.fillText(tickLabel(tick), box.x - 7, at);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const tick of linearTicks(start, end, Math.max(3, Math.floor(box.w / 90)))) {
      const at = Math.round(x(tick)) + 0.5;
      pen.strokeStyle = colors.grid;
      pen.beginPath();
      pen.moveTo(at, box.y + box.h);
      pen.lineTo(at, box.y + box.h + 4);
      pen.stroke();
      pen.fillText(tickLabel(tick), at, box.y + box.h + 6);
    }
    pen.fillText(byIntended ? "intended send time (s)" : "time since start (s)", box.x + box.w / 2, box.y + box.h + 20);
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.fillText(UNITS[mode] + (this.axis.log ? ", log scale" : ""), 4, 12);
  }

  scatter(frame, places) {
    const { x, y, when, mode } = frame;
    const { points } = this.store;
    this.drawn = places.map((n) => [x(when(points.at(n))), y(this.store.value(points.at(n), mode)), n]);
    this.layer.draw(frame, this.store, this.axis);
  }

  /** Draw percentiles over time. A line breaks where nothing arrived, and where nothing was read (paused). */
  lines({ pen, colors, x, y, start, mode }, names) {
    this.store.lines.forEach((modes, index) => {
      const ring = modes[mode];
      for (const name of names) {
        pen.beginPath();
        let [open, before] = [false, -Infinity];
        for (let n = ring.first; n < ring.written; n++) {
          const place = ring.at(n);
          const [t, value] = [ring.columns.t[place], ring.columns[name][place]];
          if (t < start - 1 || Number.isNaN(value)) {
            open = false;
            continue;
          }
          if (open && t - before <= LINE_GAP) pen.lineTo(x(t), y(value));
          else pen.moveTo(x(t), y(value));
          [open, before] = [true, t];
        }
        // A wider line in the background colour keeps the line readable on top of its own points.
        pen.setLineDash([]);
        pen.lineWidth = name === "p50" ? 4.5 : 4;
        pen.strokeStyle = colors.ground;
        pen.globalAlpha = 0.6;
        pen.stroke();
        pen.globalAlpha = 1;
        pen.setLineDash(DASHES[name]);
        pen.lineWidth = name === "p50" ? 2.2 : 1.8;
        pen.strokeStyle = tone(this.store.series[index]?.color ?? "#7f7f7f", colors.dark);
        pen.stroke();
      }
    });
    pen.setLineDash([]);
  }

  /** Return the labels for the right ends of the lines, with the series' name if there are several series. */
  ends(mode, names) {
    const { stats, series } = this.store;
    const found = [];
    stats.forEach((reading, index) => {
      const owner = series.length > 1 ? `${series[index]?.name ?? ""} ` : "";
      (reading[mode] ?? []).forEach((value, n) => {
        const name = ["p50", "p95", "p99"][n];
        if (names.includes(name)) found.push({ value, owner, said: `${name} ${short(value)}`, index });
      });
    });
    return found;
  }

  /** Draw the labels, moved apart where they would collide; in a narrow plot names are cut, numbers never. */
  labels({ pen, colors, box, y }, ends) {
    const found = ends.map((end) => ({ ...end, at: y(end.value) })).sort((a, b) => b.at - a.at);
    let floor = box.y + box.h + 13;
    const room = this.canvas.clientWidth - box.x - box.w - 11;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const { at, owner, said, index } of found) {
      floor = Math.min(at, floor - 13);
      if (floor < box.y - 4) break;
      pen.fillStyle = tone(this.store.series[index]?.color ?? "#7f7f7f", colors.dark);
      pen.fillRect(box.x + box.w + 3, floor - 4, 3, 8);
      pen.fillStyle = colors.ink;
      const name = owner && fit(pen, owner, room - pen.measureText(said).width);
      pen.fillText(name + said, box.x + box.w + 9, floor, room);
    }
  }

  empty({ pen, colors, box, mode, byIntended }) {
    const unscheduled = mode !== "latency" && this.store.points.written > 0;
    const reason =
      this.store.series.map((s) => s.note).find(Boolean) ??
      (unscheduled ? `${byIntended ? "only the intended time is known" : "no schedule here"}, so no ${mode}` : undefined);
    pen.fillStyle = colors.faint;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(reason ?? "no samples yet", box.x + box.w / 2, box.y + box.h / 2, box.w - 20);
  }

  highlight({ pen, colors, box }, picked) {
    const found = this.drawn.find(([, , n]) => n === picked);
    if (!found) return;
    pen.strokeStyle = colors.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.arc(found[0], found[1], 6, 0, 7);
    pen.stroke();
    pen.globalAlpha = 0.4;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(found[0], found[1] + 6);
    pen.lineTo(found[0], box.y + box.h);
    pen.stroke();
    pen.globalAlpha = 1;
  }

  /** Return the visible point nearest to a place on the canvas, within 30 pixels, or null. */
  nearest(px, py) {
    let [best, found] = [30 * 30, null];
    for (const [x, y, n] of this.drawn) {
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < best) [best, found] = [distance, n];
    }
    return found;
  }

  /** Return the next visible point in time: a later one for direction 1, an earlier one for -1. */
  step(picked, direction) {
    if (!this.drawn.length) return null;
    const at = this.drawn.findIndex(([, , n]) => n === picked);
    if (at < 0) return this.drawn[direction > 0 ? 0 : this.drawn.length - 1][2];
    return this.drawn[Math.max(0, Math.min(this.drawn.length - 1, at + direction))][2];
  }
}
