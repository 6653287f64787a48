// Rows between two lanes. Scrubbing and playing need no kernel: the page has the rows.

const ROW = 22; // pixels
const HEAD = 26;
const KIND_WORDS = {
  message: "messages",
  heartbeat: "heartbeats",
  close: "closes",
  fault: "faults",
  state: "states",
  event: "events",
};

function rowOf([at, kind, who, to, line, whole, connection]) {
  return { at, kind, who, to, line, whole, connection };
}

const seconds = (at) => `${at.toFixed(3)} s`;
const spoken = (row) => `${seconds(row.at)}, ${row.who}${row.to && ` to ${row.to}`}: ${row.line}`;

/** Insert rows by their time, since a fault is reported only after it happened; keep the last `kept` rows. */
function addRows(rows, added, kept) {
  for (const row of added) {
    let n = rows.length;
    while (n > 0 && rows[n - 1].at > row.at) n -= 1;
    rows.splice(n, 0, row);
  }
  if (rows.length > kept) rows.splice(0, rows.length - kept);
}

/** Cut a text to `width` pixels. */
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && pen.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}

/** Draw all rows on one time axis, with faults and closes emphasised, and the reader's position. */
function paintOverview(canvas, rows, cursor, palette) {
  const pen = penOf(canvas);
  if (!pen || !rows.length) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const colors = theme(canvas);
  const span = Math.max(1e-9, rows.at(-1).at - rows[0].at);
  const x = (at) => 6 + ((at - rows[0].at) / span) * (width - 12);
  for (const row of rows) {
    const loud = row.kind === "fault" || row.kind === "close";
    pen.fillStyle = tone(palette[row.kind], colors.dark);
    pen.globalAlpha = loud ? 1 : 0.55;
    pen.fillRect(x(row.at) - (loud ? 1.5 : 0.5), loud ? 2 : height * 0.3, loud ? 3 : 1, loud ? height - 4 : height * 0.4);
  }
  pen.globalAlpha = 1;
  const at = x(rows[cursor]?.at ?? rows[0].at);
  pen.strokeStyle = colors.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(at - 3, 1, 6, height - 2);
}

function arrow(pen, from, to, y) {
  const side = Math.sign(to - from);
  pen.beginPath();
  pen.moveTo(from, y);
  pen.lineTo(to - side * 2, y);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(to, y);
  pen.lineTo(to - side * 8, y - 4);
  pen.lineTo(to - side * 8, y + 4);
  pen.fill();
}

/** Draw the rows around the cursor; return the index of the first one, for clicks, or null if hidden. */
function paintRows(canvas, rows, cursor, palette) {
  const pen = penOf(canvas);
  if (!pen) return null;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const colors = theme(canvas);
  const room = Math.max(1, Math.floor((height - HEAD) / ROW));
  const first = Math.max(0, Math.min(cursor - Math.floor(room * 0.7), rows.length - room));
  const [left, right] = [Math.max(120, width * 0.16), width - 50];
  pen.font = `600 12px ${colors.font}`;
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  pen.fillStyle = colors.ink;
  pen.fillText("client", left, 11);
  pen.fillText("peer", right, 11);
  pen.strokeStyle = colors.faint;
  pen.lineWidth = 1;
  for (const lane of [left, right]) {
    pen.beginPath();
    pen.moveTo(lane, HEAD - 4);
    pen.lineTo(lane, height);
    pen.stroke();
  }
  rows.slice(first, first + room).forEach((row, n) => {
    const y = HEAD + n * ROW + ROW / 2;
    const index = first + n;
    if (index === cursor) {
      pen.fillStyle = colors.grid;
      pen.fillRect(0, y - ROW / 2, width, ROW);
    }
    pen.globalAlpha = index > cursor ? 0.35 : 1; // rows after the cursor are faint
    const color = tone(palette[row.kind], colors.dark);
    pen.font = `11px ${colors.font}`;
    pen.textAlign = "left";
    pen.fillStyle = index === cursor ? colors.ink : colors.faint;
    const before = rows[index - 1];
    const number = !before || before.connection !== row.connection ? `#${row.connection}` : "";
    pen.fillText(number, 4, y);
    pen.textAlign = "right";
    pen.fillText(seconds(row.at), left - 46, y);
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineWidth = 2;
    pen.textAlign = "center";
    if (row.to) {
      pen.setLineDash(row.kind === "heartbeat" ? [3, 3] : []);
      arrow(pen, ...(row.who === "client" ? [left, right] : [right, left]), y + 5);
      pen.setLineDash([]);
      pen.fillStyle = colors.ink;
      pen.fillText(fitted(pen, row.line, right - left - 40), (left + right) / 2, y - 3);
    } else {
      // Not sent to the other side: a note at the lane; a fault of the proxy is drawn between the lanes.
      const middle = row.who === "proxy";
      const text = fitted(pen, row.line, middle ? right - left - 40 : right - left - 60);
      const box = pen.measureText(text).width + 12;
      const at = middle ? (left + right - box) / 2 : row.who === "client" ? left - 12 : right - box + 12;
      pen.fillStyle = colors.ground;
      pen.fillRect(at, y - 8, box, 16);
      pen.lineWidth = 1.5;
      pen.strokeRect(at, y - 8, box, 16);
      pen.fillStyle = colors.ink;
      pen.textAlign = "left";
      pen.fillText(text, at + 6, y + 0.5);
    }
    pen.globalAlpha = 1;
  });
  return first;
}

function render({ model, el }) {
  beginPanel(el, "rtlab-timeline", "Wire timeline: messages, heartbeats, closes and faults");
  keepArrowKeys(el);
  const rows = []; // all
  let shown = []; // without the kinds that are hidden
  let cursor = -1; // index in `shown`
  let following = true;
  let ready = false;
  let seq = 0;
  let frame = 0;
  let first = 0;
  let playing = null; // the time in the run, and in the page, at the last frame; null while not playing

  const play = element("button", { type: "button", textContent: "▶ Play", className: "rtlab-play" });
  leaveKeysToNotebook(play);
  const slider = element("input", { type: "range", min: 0, max: 0, step: 1, value: 0 });
  slider.setAttribute("aria-label", "row of the timeline");
  const where = element("output", { className: "rtlab-where" });
  const speed = element("select");
  speed.setAttribute("aria-label", "speed");
  speed.append(...model.get("speeds").map((times) => element("option", { value: times, textContent: `${times} ×` })));
  const bar = element("div", { className: "rtlab-row" }, play, slider, where, speed);
  const palette = model.get("colors");
  const kinds = Object.keys(palette).map((kind) => {
    const box = element("input", { type: "checkbox" });
    const swatch = element("span", { className: "rtlab-swatch" });
    swatch.style.background = palette[kind];
    const label = element("label", {}, box, swatch, KIND_WORDS[kind] ?? kind);
    return { kind, box, label };
  });
  const filters = element("div", { className: "rtlab-row rtlab-kinds" }, ...kinds.map(({ label }) => label));
  const overview = element("canvas", { className: "rtlab-overview" });
  overview.setAttribute("aria-hidden", "true"); // the slider says the same
  const canvas = element("canvas", { className: "rtlab-lanes" });
  canvas.setAttribute("role", "img");
  const whole = element("pre");
  const detail = element("details", {}, element("summary", { textContent: "the whole of this row" }), whole);
  const [code, forget] = copyAsCode(model, "this timeline as code");
  const [gone, unwatch] = kernelNotice(model, () => 0, () => {}); // the rows in the page need no kernel
  el.append(gone, bar, filters, overview, canvas, detail, code);

  const draw = () => {
    frame = 0;
    if (playing) advance();
    const drawn = paintRows(canvas, shown, cursor, palette);
    if (drawn === null) return; // hidden: not seen, so not acknowledged
    first = drawn;
    paintOverview(overview, shown, cursor, palette);
    const row = shown[cursor];
    slider.max = Math.max(0, shown.length - 1);
    slider.value = Math.max(0, cursor);
    slider.setAttribute("aria-valuetext", row ? spoken(row) : "nothing yet");
    where.textContent = row ? `${seconds(row.at)} · ${cursor + 1} of ${shown.length}` : "nothing yet";
    canvas.setAttribute("aria-label", row ? spoken(row) : "nothing yet");
    const text = row ? `${spoken(row)}\n${row.whole}` : "";
    if (whole.textContent !== text) whole.textContent = text;
    const label = playing ? "❚❚ Pause" : "▶ Play";
    if (play.textContent !== label) play.textContent = label;
    if (seq) model.send({ kind: "ack", seq });
    seq = 0;
    if (playing) schedule();
  };
  const schedule = () => (frame ||= requestAnimationFrame(draw));

  const go = (index) => {
    cursor = Math.max(0, Math.min(shown.length - 1, index));
    following = cursor >= shown.length - 1; // also of no rows
    if (playing) playing.at = shown[cursor]?.at ?? 0;
    schedule();
  };
  const advance = () => {
    const now = performance.now();
    playing.at += ((now - playing.now) / 1000) * model.get("speed");
    playing.now = now;
    while (cursor + 1 < shown.length && shown[cursor + 1].at <= playing.at) cursor += 1;
    if (cursor >= shown.length - 1) {
      playing = null;
      following = true;
    }
  };
  const toggle = () => {
    if (playing) playing = null;
    else if (shown.length) {
      if (cursor >= shown.length - 1) cursor = 0; // at the end, Play starts again from the first row
      following = false;
      playing = { at: shown[cursor].at, now: performance.now() };
    }
    schedule();
  };

  const filter = () => {
    const here = shown[cursor];
    const hidden = new Set(model.get("hide"));
    shown = rows.filter((row) => !hidden.has(row.kind));
    for (const { kind, box } of kinds) box.checked = !hidden.has(kind);
    if (following || !here) cursor = following ? shown.length - 1 : 0;
    else cursor = Math.max(0, shown.findLastIndex((row) => row.at <= here.at && (row === here || row.at < here.at)));
    schedule();
  };
  const receive = (message) => {
    if (message.kind !== "rows" || !(ready ||= message.fresh)) return;
    seq = message.seq;
    if (message.fresh) rows.length = 0;
    addRows(rows, message.rows.map(rowOf), message.kept);
    filter();
  };
  const settings = () => {
    speed.value = model.get("speed");
    filter();
  };

  play.onclick = toggle;
  slider.oninput = () => go(Number(slider.value));
  slider.onkeydown = (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    toggle();
  };
  // Here at once, so that a setting needs no kernel; and there, for the code to copy.
  const set = (name, value) => {
    model.set(name, value);
    model.send({ set: { [name]: value } });
  };
  speed.onchange = () => set("speed", Number(speed.value));
  for (const { box } of kinds)
    box.onchange = () => set("hide", kinds.filter((k) => !k.box.checked).map((k) => k.kind));
  canvas.onclick = (event) => go(first + Math.floor((event.offsetY - HEAD) / ROW));
  const scrub = (event) => {
    if (event.buttons !== 1 || !shown.length) return;
    const part = (event.offsetX - 6) / Math.max(1, overview.clientWidth - 12);
    const at = shown[0].at + part * (shown.at(-1).at - shown[0].at);
    go(shown.findLastIndex((row) => row.at <= at));
  };
  overview.onpointerdown = overview.onpointermove = scrub;

  model.on("msg:custom", receive);
  model.on("change:hide", filter);
  model.on("change:speed", settings);
  settings();
  const still = paintAgain(canvas, schedule);
  model.send({ kind: "hello" });
  return () => {
    cancelAnimationFrame(frame);
    unwatch();
    forget();
    still();
    model.off("msg:custom", receive);
    model.off("change:hide", filter);
    model.off("change:speed", settings);
  };
}

export default { render };
