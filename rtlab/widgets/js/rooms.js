// The rooms of a connection. Names and messages are shown only as textContent, never as HTML.

function render({ model, el }) {
  beginPanel(el, "rtlab-rooms", "Rooms of a connection");
  // Keep typed keys from JupyterLab: its shortcuts, at the document, would take Enter and capitals.
  el.addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (!ctrlKey && !metaKey && !altKey && !(shiftKey && key === "Enter")) event.stopPropagation();
  });
  const looking = keepLooking(model, el);
  let deaf = false;
  const [gone, unwatch] = kernelNotice(model, looking.silence, (reason) => {
    deaf = Boolean(reason);
    show();
  });
  const id = uniqueId("rooms");
  const field = element("input", { type: "text", id, autocomplete: "off", placeholder: "lobby" });
  const join = element("button", { type: "submit", textContent: "Join" });
  const state = element("span");
  const form = element("form", { className: "rtlab-row" });
  form.append(element("label", { htmlFor: id, textContent: "room" }), field, join, state);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!join.disabled) model.send({ action: "join", room: field.value });
  };
  const status = element("output");
  status.setAttribute("aria-live", "polite");
  const list = element("div", { className: "rtlab-list" });
  const [code, forget] = copyAsCode(model, "these rooms as code");
  el.append(gone, form, status, list, code);

  const sections = new Map(); // by the room's name: a room that remains keeps focus and scroll position
  const section = ({ id: room, name }) => {
    const leave = element("button", { type: "button", textContent: "Leave" });
    leave.setAttribute("aria-label", `Leave ${name}`);
    leave.onclick = () => model.send({ action: "leave", room });
    const users = element("div");
    const place = element("div", { className: "rtlab-faint" });
    const log = element("ol", { tabIndex: 0 });
    log.setAttribute("role", "log");
    log.setAttribute("aria-label", `messages of ${name}`);
    const title = element("h4", {}, element("bdi", { textContent: name }));
    const box = element("section", {}, element("div", { className: "rtlab-row" }, title, leave), users, place, log);
    return { box, leave, users, place, log, last: 0 };
  };
  const fill = (made, { users, epoch, offset, count, lines }) => {
    made.users.textContent = `here: ${users.join(", ") || "nobody told yet"}`;
    const where = offset === null ? "no place yet" : `last offset ${offset.toLocaleString("en")}`;
    made.place.textContent = `${where}${epoch && ` of epoch ${epoch}`} · ${count.toLocaleString("en")} seen here`;
    const { log } = made;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    for (const line of lines.filter(({ n }) => n > made.last)) {
      made.last = line.n;
      const item = element("li", { className: line.from ? "" : "rtlab-faint" });
      if (line.offset !== null) item.append(element("span", { className: "rtlab-faint", textContent: `${line.offset} ` }));
      if (line.from) item.append(element("bdi", { className: "rtlab-from", textContent: line.from }), " ");
      item.append(element("bdi", { textContent: line.text, dir: "auto" }));
      log.append(item);
    }
    while (log.children.length > lines.length) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  const show = () => {
    const rooms = model.get("rooms");
    const open = model.get("connection") === "Connected";
    state.textContent = model.get("connection");
    state.dataset.tone = open ? "quiet" : "bad";
    status.textContent = model.get("status");
    status.dataset.tone = model.get("tone");
    for (const [room, { box }] of sections) {
      if (rooms.some((one) => one.id === room)) continue;
      if (box.contains(document.activeElement)) field.focus(); // after Leave, the focus goes to the field
      box.remove();
      sections.delete(room);
    }
    for (const room of rooms) {
      if (!sections.has(room.id)) {
        sections.set(room.id, section(room));
        list.append(sections.get(room.id).box);
      }
      const made = sections.get(room.id);
      fill(made, room);
      made.leave.disabled = deaf || !open;
    }
    join.disabled = deaf || !open;
  };
  const joined = (message) => {
    if (message.kind === "joined" && field.value === message.room) field.value = "";
  };
  model.on("change", show);
  model.on("msg:custom", joined);
  show();
  return () => {
    looking.stop();
    unwatch();
    forget();
    model.off("change", show);
    model.off("msg:custom", joined);
  };
}

export default { render };
