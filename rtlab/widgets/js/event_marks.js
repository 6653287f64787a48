// Event marks: merged where they are close together, with their texts above the samples and never on them.

const MARK_ROWS = 4; // most rows of texts: they take height from the plot
const MARK_TEXT = 300; // longest text, in pixels
const MARK_ROW = 15; // height of a row, in pixels
const MARK_GAP = 0.012; // share of the window: marks of one kind that are closer become one mark

/** Return the text of one mark. */
function markText(kind, text) {
  return text ? `${kind} ${text}` : kind;
}

/** Merge close marks of one kind into one entry with a count: [time, kind, texts, color, count]. */
function mergeMarks(marks, window) {
  const merged = [];
  for (const [t, kind, text, color] of marks) {
    const last = merged.findLast((entry) => entry[1] === kind);
    if (last && t - last[0] <= window * MARK_GAP) {
      last[4] += 1;
      if (text && !last[2].includes(text)) last[2].push(text);
    } else merged.push([t, kind, text ? [text] : [], color, 1]);
  }
  return merged;
}

function mergedText([, kind, texts, , count]) {
  return markText(count > 1 ? `${count} × ${kind}` : kind, texts.join(", "));
}

/** Draw the marks: thin lines below the samples, heads and texts in the band above them. */
function drawMarks({ pen, colors, box, x, start, end, window }, marks) {
  const visible = mergeMarks(marks.filter(([t]) => t >= start && t <= end), window);
  for (const [t, kind, , color] of visible) {
    const at = Math.round(x(t)) + 0.5;
    pen.strokeStyle = pen.fillStyle = tone(color, colors.dark);
    pen.lineWidth = 1;
    pen.globalAlpha = 0.6;
    pen.setLineDash(kind === "reconnecting" ? [4, 3] : []);
    pen.beginPath();
    pen.moveTo(at, box.y);
    pen.lineTo(at, box.y + box.h);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.moveTo(at - 4, box.y - 6);
    pen.lineTo(at + 4, box.y - 6);
    pen.lineTo(at, box.y);
    pen.fill();
  }
}

/** Place the marks' texts in `rows` rows; `whole` in the result is false if a text is cut or left out. */
function layMarks(pen, x, visible, rows) {
  const end = pen.canvas.clientWidth; // texts may extend above the names at the lines' ends
  const limits = new Array(rows).fill(end); // per row: where the text to the right begins
  const laid = [];
  let whole = true;
  for (const entry of visible.toReversed()) { // the newest first: they matter most
    const text = mergedText(entry);
    const wanted = fit(pen, text, MARK_TEXT);
    const width = pen.measureText(wanted).width;
    const left = x(entry[0]) + 3;
    let row = limits.findIndex((limit) => limit - left - 10 >= width);
    if (row < 0) row = limits.indexOf(end); // an empty row: at the right edge, the text moves to the left
    if (row < 0) row = limits.indexOf(Math.max(...limits));
    const edge = limits[row] === end;
    const room = edge ? width : limits[row] - left - 10;
    if (room < width) whole = false;
    if (room < 40) continue;
    const shown = room < width ? fit(pen, text, room) : wanted;
    limits[row] = edge ? Math.min(left, end - width - 4) : left;
    laid.push({ entry, shown, left: limits[row], row });
  }
  return { laid, whole };
}

/** Return the fewest rows in which every text is whole, but no more than `most`. */
function markRows(pen, x, { start, end, window, most }, marks) {
  const visible = mergeMarks(marks.filter(([t]) => t >= start && t <= end), window);
  for (let rows = 1; rows < most; rows++) if (layMarks(pen, x, visible, rows).whole) return rows;
  return most;
}

function drawMarkTexts({ pen, colors, box, x, start, end, window, rows }, marks) {
  const visible = mergeMarks(marks.filter(([t]) => t >= start && t <= end), window);
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (const { entry, shown, left, row } of layMarks(pen, x, visible, rows).laid) {
    const middle = box.y - 8 - MARK_ROW * (rows - row) + MARK_ROW / 2;
    pen.fillStyle = tone(entry[3], colors.dark);
    pen.fillRect(left - 3, middle - 6, 2, 12);
    pen.fillStyle = colors.ink;
    pen.fillText(shown, left + 2, middle);
  }
}

/** Cut a text to `width` pixels; the list below the plot has it in full. */
function fit(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 3 && pen.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}
