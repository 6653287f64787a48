// The state diagram with the present state, and tables of attempts, closes and options.

// As in the static figure (rtlab.figures.diagrams.state_diagram): places in a unit square, y downwards.
const PLACES = {
  Connecting: [0.14, 0.16],
  Connected: [0.62, 0.16],
  Reconnecting: [0.62, 0.84],
  Disconnected: [0.14, 0.84],
  Closed: [0.88, 0.5],
};
const STATE_COLORS = {
  Disconnected: "#7F7F7F",
  Connecting: "#56B4E9",
  Connected: "#009E73",
  Reconnecting: "#E69F00",
  Closed: "#7F7F7F",
};
const BOX_W = 92;
const BOX_H = 28;

/** Return the point at which a line from the centre of a box to a target leaves the box. */
function edgeOf([x, y], [tx, ty]) {
  const [dx, dy] = [tx - x, ty - y];
  const scale = Math.min((BOX_W / 2 + 3) / Math.abs(dx || 1e-9), (BOX_H / 2 + 3) / Math.abs(dy || 1e-9));
  return [x + dx * scale, y + dy * scale];
}

/** Draw an arrow, bent to its left, so that the two arrows between a pair of states do not overlap. */
function bent(pen, from, to, bend) {
  const middle = [(from[0] + to[0]) / 2 + bend * (to[1] - from[1]), (from[1] + to[1]) / 2 - bend * (to[0] - from[0])];
  const [start, end] = [edgeOf(from, middle), edgeOf(to, middle)];
  pen.beginPath();
  pen.moveTo(...start);
  pen.quadraticCurveTo(...middle, ...end);
  pen.stroke();
  const angle = Math.atan2(end[1] - middle[1], end[0] - middle[0]);
  pen.beginPath();
  pen.moveTo(...end);
  for (const side of [-0.4, 0.4]) pen.lineTo(end[0] - 9 * Math.cos(angle + side), end[1] - 9 * Math.sin(angle + side));
  pen.fill();
}

function paintStates(canvas, edges, state, former) {
  const pen = penOf(canvas);
  if (!pen) return false;
  const colors = theme(canvas);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const at = (name) => {
    const [x, y] = PLACES[name];
    return [Math.max(BOX_W / 2 + 3, Math.min(width - BOX_W / 2 - 3, x * width)), y * height];
  };
  const ordered = [...edges].sort(([a, b]) => (a === former && b === state ? 1 : -1)); // the latest on top
  for (const [source, target] of ordered) {
    const taken = source === former && target === state;
    pen.strokeStyle = pen.fillStyle = taken ? tone(STATE_COLORS[state], colors.dark) : colors.faint;
    pen.globalAlpha = taken ? 1 : 0.45;
    pen.lineWidth = taken ? 3 : 1.2;
    bent(pen, at(source), at(target), 0.16);
  }
  pen.globalAlpha = 1;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const name of Object.keys(PLACES)) {
    const [x, y] = at(name);
    const here = name === state;
    const color = tone(STATE_COLORS[name], colors.dark);
    pen.beginPath();
    pen.roundRect(x - BOX_W / 2, y - BOX_H / 2, BOX_W, BOX_H, 7);
    pen.fillStyle = colors.ground;
    pen.fill();
    if (here) {
      pen.globalAlpha = 0.25;
      pen.fillStyle = color;
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.strokeStyle = color;
    pen.lineWidth = here ? 3.5 : 1.5;
    pen.stroke();
    pen.font = `${here ? 700 : 400} 12px ${colors.font}`;
    pen.fillStyle = here ? colors.ink : colors.faint;
    pen.fillText(name, x, y + 0.5);
  }
  return true;
}

/** Return an age in words: before now if `live`, else before the recording's newest entry. */
function ago(at, live) {
  if (at < 0.05) return "now";
  const long = at < 100 ? `${at.toFixed(1)} s` : `${Math.round(at / 60)} min`;
  return `${long} ${live ? "ago" : "earlier"}`;
}

function tableOf(caption, heads) {
  const body = element("tbody");
  const head = element("tr", {}, ...heads.map((textContent) => element("th", { textContent, scope: "col" })));
  const table = element("table", {}, element("caption", { textContent: caption }), element("thead", {}, head), body);
  const fill = (rows) => {
    const none = [element("tr", {}, element("td", { textContent: "none yet", colSpan: heads.length }))];
    const made = rows.map((cells) => {
      const row = element("tr", {}, ...cells.map(([textContent]) => element("td", { textContent })));
      cells.forEach(([, title, at], n) => {
        if (title) row.children[n].title = title;
        if (at !== undefined) row.children[n].dataset.at = at; // an age, which grows
      });
      return row;
    });
    body.replaceChildren(...(made.length ? made : none));
  };
  return [table, fill];
}

function render({ model, el }) {
  beginPanel(el, "rtlab-inspector", "Connection inspector");
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  const spoken = element("output", { className: "rtlab-said" });
  spoken.setAttribute("aria-live", "polite");
  const numbers = element("table", { className: "rtlab-numbers" });
  const note = element("div", { className: "rtlab-wide rtlab-note" });
  const [attempts, fillAttempts] = tableOf("attempts, the newest first; each begins with its delay", ["", "delay", "began", "outcome"]);
  const [closes, fillCloses] = tableOf("closes, the newest first", ["code", "reason", "when", "then"]);
  const [options, fillOptions] = tableOf("", ["option", "in force"]);
  const more = element("details", { className: "rtlab-wide" }, element("summary", { textContent: "options in force" }), options);
  const [code, forget] = copyAsCode(model, "a connection with these options, as code");
  let last = null;
  let heard = performance.now();
  // No control here needs the kernel; but of a connection that went with it, no time goes on.
  const [gone, unwatch] = kernelNotice(model, () => 0, () => clearInterval(ticking));
  const left = element("div", { className: "rtlab-states" }, canvas, spoken);
  const right = element("div", { className: "rtlab-facts" }, numbers, attempts, closes);
  el.append(gone, left, right, note, more, code);
  const letGo = keepInSight(model, el, ["change:watching"], () => model.get("watching"));

  let frame = 0;
  let seq = 0;
  const later = () => (last.live ? (performance.now() - heard) / 1000 : 0);
  const row = (name, value) =>
    element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { textContent: value }));
  const numbersNow = () => {
    const n = last.counts;
    const delay = last.attempts.at(-1)?.delay;
    const waits = last.state === "Reconnecting" && typeof delay === "number" ? ` (waits ${short(delay)} s)` : "";
    numbers.replaceChildren(
      row("state", `${last.state}${waits} for ${(last.since + later()).toFixed(1)} s`),
      row("transport", last.transport || "–"),
      row("connects, disconnects", `${n.connects}, ${n.disconnects}`),
      row("messages out, in", `${n.messages_out}, ${n.messages_in}`),
      row("heartbeats, answers", `${n.pings}, ${n.pongs}${last.roundTrip && `; last ${last.roundTrip}`}`),
      row("errors, faults", `${n.errors}, ${n.faults}`),
    );
  };
  const agesNow = () => {
    for (const cell of right.querySelectorAll("[data-at]")) {
      const words = ago(Number(cell.dataset.at) + later(), last.live);
      if (cell.textContent !== words) cell.textContent = words;
    }
  };
  const draw = () => {
    frame = 0;
    if (!last) return;
    if (!paintStates(canvas, model.get("edges"), last.state, last.former)) return; // hidden: not acknowledged
    if (!seq) return;
    canvas.setAttribute("aria-label", `State diagram: ${last.state}${last.former && `, from ${last.former}`}`);
    if (spoken.textContent !== last.summary) spoken.textContent = last.summary;
    numbersNow();
    fillAttempts(
      last.attempts.toReversed().map(({ number, delay, at, outcome }) => [
        [number === 0 ? "first" : number === null ? "–" : `retry ${number}`],
        [typeof delay === "number" ? `${short(delay)} s` : "–"],
        ["", "", at],
        [outcome || "under way"],
      ]),
    );
    fillCloses(
      last.closes.toReversed().map(({ code: number, name, meaning, reason, at, again }) => [
        [`${number} ${name}`, meaning],
        [reason || "–"],
        ["", "", at],
        [again ? "reconnects" : "ends"],
      ]),
    );
    agesNow();
    fillOptions(Object.entries(last.options).map(([name, value]) => [[name], [value]]));
    note.textContent = last.note ? `newest error or fault: ${last.note}` : "";
    model.send({ kind: "ack", seq });
    seq = 0;
  };
  const schedule = () => (frame ||= requestAnimationFrame(draw));
  const receive = (message) => {
    if (message.kind !== "facts") return;
    last = message;
    heard = performance.now();
    seq = message.seq;
    schedule();
  };
  const ticking = setInterval(() => {
    if (!last?.live || !canvas.clientWidth) return;
    numbersNow();
    agesNow(); // all together: a time that stands still beside one that grows looks wrong
  }, 500);
  model.on("msg:custom", receive);
  const still = paintAgain(canvas, schedule);
  model.send({ kind: "hello" });
  return () => {
    clearInterval(ticking);
    cancelAnimationFrame(frame);
    letGo();
    unwatch();
    forget();
    still();
    model.off("msg:custom", receive);
  };
}

export default { render };
