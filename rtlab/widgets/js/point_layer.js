// Part 3: the points, on a canvas of their own.

const SPRITE = 9; // width of one point, in pixels
const FEW_SAMPLES = 40; // the points of a run with fewer samples are drawn large
const LARGE = 1.8;

/** Each kind of marker, drawn once into a small canvas: stamps of it are cheap, and their opacity adds up. */
class Sprites {
  constructor() {
    this.made = new Map();
  }

  get(color, shape, ratio, dark, few) {
    const key = `${color} ${shape} ${ratio} ${dark} ${few}`;
    const strength = few ? 1.8 : dark ? 1.4 : 1;
    if (!this.made.has(key)) this.made.set(key, this.make(color, shape, few ? LARGE * ratio : ratio, strength));
    return this.made.get(key);
  }

  make(color, shape, ratio, strength) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.ceil(SPRITE * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.strokeStyle = pen.fillStyle = color;
    pen.beginPath();
    if (shape === "cross") {
      pen.globalAlpha = Math.min(1, 0.8 * strength);
      pen.lineWidth = 1.3;
      pen.moveTo(2, 2);
      pen.lineTo(7, 7);
      pen.moveTo(7, 2);
      pen.lineTo(2, 7);
      pen.stroke();
    } else if (shape === "ring") {
      pen.globalAlpha = Math.min(1, 0.75 * strength);
      pen.lineWidth = 1.1;
      pen.arc(4.5, 4.5, 2.6, 0, 7);
      pen.stroke();
    } else {
      pen.globalAlpha = Math.min(1, 0.5 * strength);
      pen.arc(4.5, 4.5, 2.2, 0, 7);
      pen.fill();
    }
    return canvas;
  }
}

/** Return a sample's marker: cross if the kernel's loop was late, ring if mostly the sender was, else dot. */
function shapeOf(store, place, mode) {
  const { late, latency, lateness } = store.points.columns;
  if (late[place]) return "cross";
  return mode === "latency" && lateness[place] > latency[place] / 2 ? "ring" : "dot";
}

/**
 * All points of the window. As time goes on, the picture of the last frame is moved to the left and only
 * the new points are stamped: stamping all 2,000 ten times a second doubles what a page without a GPU has to do.
 * All positions are whole device pixels, so that a moved picture equals a new one.
 */
class PointLayer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.sprites = new Sprites();
    this.geometry = ""; // what the picture depends on, apart from the time
    this.points = null; // the ring that was drawn: a cleared store has a new one
    this.origin = 0; // device pixels from the run's start to the picture's left edge
    this.next = 0; // number of the first point that was not drawn yet
    this.canvas.addEventListener("contextrestored", () => (this.geometry = "")); // it comes back empty
  }

  /** Draw the points on the frame's canvas. */
  draw(frame, store, axis) {
    const { pen, colors, box, y, when, start, window, mode, ratio, byIntended } = frame;
    const few = store.total < FEW_SAMPLES;
    const tones = store.series.map(({ color }) => tone(color, colors.dark));
    const perSecond = (box.w * ratio) / window;
    // A margin holds the points of which only a part is inside the box.
    const margin = Math.ceil(LARGE * SPRITE * ratio);
    const [left, above] = [box.x, box.y].map((at) => Math.round(at * ratio) - margin);
    const [width, height] = [box.w, box.h].map((size) => Math.ceil(Math.max(0, size) * ratio) + 2 * margin);
    const origin = Math.round(start * perSecond) - margin;
    const { top, bottom, log } = axis;
    const geometry = JSON.stringify([ratio, box, window, mode, byIntended, top, bottom, log, few, tones]);
    const ink = this.canvas.getContext("2d");
    if (geometry !== this.geometry || store.points !== this.points || origin < this.origin) {
      [this.canvas.width, this.canvas.height] = [width, height]; // also clears it
      [this.geometry, this.points, this.next] = [geometry, store.points, 0];
    } else if (origin > this.origin) {
      ink.globalCompositeOperation = "copy";
      ink.drawImage(this.canvas, this.origin - origin, 0);
      ink.globalCompositeOperation = "source-over";
    }
    this.origin = origin;
    const { points } = store;
    const { series } = points.columns;
    let ahead = false;
    for (let n = Math.max(this.next, points.first); n < points.written; n++) {
      const place = points.at(n);
      const x = Math.round(when(place) * perSecond) - origin;
      const value = store.value(place, mode);
      if (!(x > -margin) || Number.isNaN(value)) continue; // left of the picture, or no number
      ahead ||= x > width - margin / 2; // cut off: later than now, as a replay's may be
      const color = tones[series[place]] ?? "#7f7f7f";
      const sprite = this.sprites.get(color, shapeOf(store, place, mode), ratio, colors.dark, few);
      ink.drawImage(sprite, x - (sprite.width >> 1), Math.round(y(value) * ratio) - above - (sprite.height >> 1));
    }
    this.next = points.written;
    if (ahead) this.geometry = ""; // what was cut off at the right must be drawn anew when it comes in
    pen.save();
    pen.resetTransform();
    pen.drawImage(this.canvas, left, above);
    pen.restore();
  }
}
