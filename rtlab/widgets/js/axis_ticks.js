// Part 2: axes, numbers and the theme's colours.

const NICE = [1, 2, 5, 10];

/** Round up to 1, 2 or 5 times a power of ten. */
function niceCeil(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * NICE.find((n) => n * power >= value * 0.9999);
}

/** Ticks of a linear axis, about `count` of them. */
function linearTicks(low, high, count) {
  const step = niceCeil((high - low) / count);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-6; n++) ticks.push(n * step);
  return ticks;
}

/** Ticks of a logarithmic axis: powers of ten, with 2 and 5 when there is room. */
function logTicks(low, high, count) {
  const ticks = [];
  const decades = Math.log10(high / low);
  const steps = decades * 3 <= count ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / count));
  for (let d = Math.floor(Math.log10(low)); d <= Math.ceil(Math.log10(high)); d += every) {
    for (const step of steps) {
      const tick = step * 10 ** d;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

/** A number with three significant digits, never in exponents. */
function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}

function tickLabel(value) {
  return String(Number(value.toPrecision(6)));
}

/** The vertical axis: grows at once, shrinks only when much too tall, so that it does not flutter. */
class Axis {
  constructor() {
    this.reset();
  }

  reset() {
    this.top = 0;
    this.bottom = 0;
  }

  fit(low, high, log) {
    if (!(high > 0)) [low, high] = [0.1, 1];
    const top = niceCeil(high * (log ? 1.2 : 1.06));
    if (top > this.top || top < this.top * 0.45) this.top = top;
    const bottom = log ? 10 ** Math.floor(Math.log10(Math.max(low, high / 1e6) * 0.999)) : 0;
    if (!log || this.bottom === 0 || bottom < this.bottom || bottom > this.bottom * 5) this.bottom = bottom;
    if (log && this.top < this.bottom * 10) this.top = this.bottom * 10;
    this.log = log;
  }

  /** Return 0 at the bottom, 1 at the top; a value below the axis is placed at the bottom. */
  place(value) {
    if (!this.log) return Math.max(0, value / this.top);
    if (value <= this.bottom) return 0;
    return Math.log(value / this.bottom) / Math.log(this.top / this.bottom);
  }

  ticks(height) {
    const count = Math.max(3, Math.floor(height / 38));
    return this.log ? logTicks(this.bottom, this.top, count) : linearTicks(0, this.top, count);
  }
}

/** Return a colour for this background: on a dark one, lighter by a third, or blue could not be seen. */
function tone(color, dark) {
  if (!dark) return color;
  const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `#${parts.map((n) => Math.round(n + (255 - n) * 0.36).toString(16).padStart(2, "0")).join("")}`;
}

/** The colours of JupyterLab's theme at this moment, with fallbacks for other hosts. */
function theme(element) {
  const style = getComputedStyle(element);
  return {
    ink: style.getPropertyValue("--rtlab-ink"),
    faint: style.getPropertyValue("--rtlab-faint"),
    grid: style.getPropertyValue("--rtlab-grid"),
    ground: style.getPropertyValue("--rtlab-ground"),
    late: style.getPropertyValue("--rtlab-late"),
    font: style.fontFamily,
    dark: document.body.dataset.jpThemeLight === "false",
  };
}
