// Part 1: the data that the browser keeps: ring buffers of fixed size, filled from binary batches.

const CAPACITY = 8192; // points; a window holds about 2,000
const LINE_CAPACITY = 1024; // percentile readings per series; five a second
const POINT_BYTES = 16; // t, latency, lateness: float32; series, late: uint8; padding

class Ring {
  constructor(capacity, columns) {
    this.capacity = capacity;
    this.columns = Object.fromEntries(columns.map((name) => [name, new Float32Array(capacity)]));
    this.written = 0;
  }

  get first() {
    return Math.max(0, this.written - this.capacity);
  }

  /** Return the index in the ring of the n-th value ever written. */
  at(n) {
    return n % this.capacity;
  }

  push(values) {
    const place = this.at(this.written);
    for (const name in values) this.columns[name][place] = values[name];
    this.written += 1;
  }
}

class Store {
  constructor() {
    this.listeners = new Set();
    this.seq = 0; // number of the newest batch
    this.acked = 0; // number of the newest acknowledged batch
    this.heard = performance.now(); // when the last batch came
    this.clear();
  }

  clear() {
    this.points = new Ring(CAPACITY, ["t", "latency", "lateness", "series", "late"]);
    this.series = [];
    this.lines = []; // per series a Ring of percentiles over time
    this.stats = [];
    this.ranked = false; // whether there ever were percentiles
    this.marks = []; // the latest 200
    this.marked = 0; // how many there ever were
    this.late = [];
    this.now = 0;
    this.total = 0;
    this.stride = 1;
  }

  take(header, buffer) {
    if (header.fresh) this.clear();
    this.seq = header.seq;
    this.heard = performance.now();
    this.now = header.now;
    this.total = header.total;
    this.stride = header.stride;
    this.series = header.series;
    this.marks = this.marks.concat(header.marks).slice(-200);
    this.marked = header.marked;
    this.late = this.late.concat(header.late).slice(-3000);
    this.takePoints(buffer);
    for (const [t, stats] of header.earlier ?? []) this.takeStats(stats, t);
    if (header.stats) this.takeStats(header.stats, this.now);
    for (const listener of this.listeners) listener();
  }

  takePoints(view) {
    const floats = POINT_BYTES / 4;
    // A copy, because a message's buffers need not be aligned.
    const bytes = new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    const values = new Float32Array(bytes.buffer);
    for (let i = 0; i < bytes.length / POINT_BYTES; i++) {
      this.points.push({
        t: values[i * floats],
        latency: values[i * floats + 1],
        lateness: values[i * floats + 2],
        series: bytes[i * POINT_BYTES + 12],
        late: bytes[i * POINT_BYTES + 13],
      });
    }
  }

  takeStats(stats, t) {
    this.stats = stats;
    this.ranked ||= stats.some((found) => found.latency);
    stats.forEach((found, index) => {
      this.lines[index] ??= Object.fromEntries(
        ["latency", "transit", "lateness"].map((mode) => [mode, new Ring(LINE_CAPACITY, ["t", "p50", "p95", "p99"])]),
      );
      for (const mode in this.lines[index]) {
        const [p50, p95, p99] = found[mode] ?? [NaN, NaN, NaN];
        this.lines[index][mode].push({ t, p50, p95, p99 });
      }
    });
  }

  /** Return the value of a series' latest point in one mode, in ms; NaN if there is none. */
  latest(index, mode) {
    const { points } = this;
    for (let n = points.written - 1; n >= points.first; n--) {
      const place = points.at(n);
      if (points.columns.series[place] === index) return this.value(place, mode);
    }
    return NaN;
  }

  /** Return the value of the point at index `place` in one mode, in ms; NaN where it means nothing. */
  value(place, mode) {
    const { latency, lateness } = this.points.columns;
    if (mode === "latency") return latency[place];
    return mode === "lateness" ? lateness[place] : latency[place] - lateness[place];
  }
}
