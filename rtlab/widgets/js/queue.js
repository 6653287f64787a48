// An offline queue: numbers in a table, dead letters in a list. Messages are shown only as textContent.

const ROWS = [
  ["depth", "waiting for an answer", ({ depth, most }) => `${count(depth)} of ${count(most)} at most`],
  ["oldest", "the oldest has waited", ({ oldest, depth }) => (depth ? `${oldest.toFixed(1)} s` : "–")],
  ["in_flight", "under way", ({ in_flight, window }) => `${count(in_flight)} of ${count(window)} at most`],
  ["bytes", "size", ({ bytes }) => `${count(bytes)} bytes`],
  ["sent", "handled by the server", ({ sent }) => count(sent)],
  ["dead", "given up", ({ dead }) => count(dead)],
  ["dropped", "dropped for want of room", ({ dropped }) => count(dropped)],
];

function count(number) {
  return number.toLocaleString("en");
}

function render({ model, el }) {
  beginPanel(el, "rtlab-queue", "Offline queue");
  const looking = keepLooking(model, el);
  let deaf = false;
  const [gone, unwatch] = kernelNotice(model, looking.silence, (reason) => {
    deaf = Boolean(reason);
    show();
  });
  const warning = element("div", { className: "rtlab-wide rtlab-gone", role: "alert" });
  const status = element("output");
  status.setAttribute("aria-live", "polite");
  const cells = ROWS.map(([name, text, words]) => {
    const cell = element("td");
    return { words, cell, row: element("tr", {}, element("th", { scope: "row", textContent: text }), cell) };
  });
  const bar = element("progress", { max: 1, value: 0 });
  bar.setAttribute("aria-label", "how full the queue is");
  const numbers = element("div", {}, bar, element("table", {}, element("tbody", {}, ...cells.map(({ row }) => row))));

  const title = element("h4", { tabIndex: -1 });
  const all = element("button", { type: "button", textContent: "Retry all" });
  all.onclick = () => model.send({ action: "retry_all" });
  const list = element("ul");
  list.setAttribute("aria-label", "dead letters");
  const dead = element("section", {}, element("div", { className: "rtlab-row" }, title, all), list);
  const [code, forget] = copyAsCode(model, "this queue as code");
  const name = element("strong", {}, "queue ", element("bdi", { textContent: model.get("counts").name }));
  el.append(gone, warning, element("div", { className: "rtlab-wide rtlab-row" }, name, status), numbers, dead, code);

  const items = new Map(); // by id: a letter that remains keeps its element, and so the focus
  const letter = ({ id, text, room, error }) => {
    const again = element("button", { type: "button", textContent: "Retry" });
    again.setAttribute("aria-label", `Retry ${text}`);
    again.onclick = () => model.send({ action: "retry", id });
    const said = element("bdi", { textContent: text, className: "rtlab-text" });
    const why = element("bdi", { textContent: `${error}${room && ` · room ${room}`}`, className: "rtlab-why" });
    return { again, item: element("li", {}, again, element("div", {}, said, why)) };
  };
  const show = () => {
    const counts = model.get("counts");
    status.textContent = model.get("status");
    status.dataset.tone = model.get("tone");
    warning.textContent = model.get("warning");
    warning.hidden = !warning.textContent;
    for (const { words, cell } of cells) cell.textContent = words(counts);
    bar.value = Math.min(1, counts.depth / counts.most);
    const letters = model.get("letters");
    const places = [...items.keys()];
    const held = places.findIndex((id) => items.get(id).item.contains(document.activeElement));
    for (const id of places) {
      if (letters.some((one) => one.id === id)) continue;
      items.get(id).item.remove();
      items.delete(id);
    }
    for (const one of letters) {
      if (!items.has(one.id)) items.set(one.id, letter(one));
      const { item } = items.get(one.id);
      if (list.children[letters.indexOf(one)] !== item) list.insertBefore(item, list.children[letters.indexOf(one)] ?? null);
    }
    const closed = deaf || counts.state.startsWith("closed");
    for (const { again } of items.values()) again.disabled = closed;
    all.disabled = closed || !letters.length;
    const number = `${letters.length}${model.get("more") ? " and more" : ""}`;
    title.textContent = letters.length ? `Dead letters: ${number}` : "No dead letters";
    // After Retry, the focus goes to the letter that now has the place of the retried one.
    if (held >= 0 && !items.has(places[held])) ([...items.values()][Math.min(held, items.size - 1)]?.again ?? title).focus();
  };
  model.on("change", show);
  show();
  return () => {
    looking.stop();
    unwatch();
    forget();
    model.off("change", show);
  };
}

export default { render };
