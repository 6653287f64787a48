// A room, seen by each of its users. What users write is shown only as textContent, never as HTML.

const LOST_MS = 6000; // the kernel answers within five seconds, or not at all

function render({ model, el }) {
  const id = uniqueId("chat");
  beginPanel(el, "rtlab-chat", `Chat room ${model.get("room")}`);
  // Keep typed keys from JupyterLab: its shortcuts, at the document, would take Enter and capitals.
  el.addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (!ctrlKey && !metaKey && !altKey && !(shiftKey && key === "Enter")) event.stopPropagation();
  });
  const [gone, unwatch] = kernelNotice(
    model,
    () => 0,
    (reason) => {
      for (const { field, button } of seats) field.disabled = button.disabled = Boolean(reason) || !model.get("entered");
    },
  );
  const leave = element("button", { type: "button", textContent: "Leave", onclick: () => model.send({ action: "leave" }) });
  const head = element("div", { className: "rtlab-head" }, element("bdi", { textContent: model.get("room") }), leave);
  el.append(gone, head);

  let sent = 0;
  const seats = model.get("seats").map(({ name }, index) => {
    const users = element("div", { className: "rtlab-users" });
    const log = element("ol", { tabIndex: 0 });
    log.setAttribute("role", "log");
    log.setAttribute("aria-label", `what ${name} sees`);
    const field = element("input", { type: "text", id: `${id}-${index}`, autocomplete: "off", maxLength: model.get("longest") });
    field.setAttribute("aria-label", `${name} writes`);
    const button = element("button", { type: "submit", textContent: "Send" });
    const status = element("output", { className: "rtlab-status" });
    status.setAttribute("aria-live", "polite");
    const form = element("form", {}, field, button);
    const title = element("h4", {}, element("bdi", { textContent: name }));
    el.append(element("section", {}, title, users, log, form, status));
    const seat = { name, users, log, field, button, status, last: 0, why: "" };
    seat.asked = 0; // when the text that waits for its answer went out; 0 if none waits
    seat.sent = {}; // the latest text without an answer, and its number; also one that waits no more
    form.onsubmit = (event) => {
      event.preventDefault();
      if (seat.asked || field.disabled) return;
      seat.asked = performance.now();
      seat.sent = { text: field.value, n: `${id}-${(sent += 1)}` }; // not the number of another view's text
      field.readOnly = true; // until the kernel has taken the text, so that nothing typed is lost
      model.send({ action: "say", user: name, ...seat.sent });
    };
    return seat;
  });

  const [code, forget] = copyAsCode(model, "this chat as code");
  el.append(code);

  const show = () => {
    const open = model.get("entered");
    const all = model.get("seats");
    seats.forEach((seat, index) => {
      const { state, users, lines, status } = all[index];
      const word = !open ? "last seen here" : state === "Connected" ? "here" : `${state} · last seen`;
      seat.users.textContent = `${word}: ${users.join(", ") || "nobody"}`;
      seat.users.dataset.tone = state === "Connected" ? "quiet" : "bad";
      const atEnd = seat.log.scrollHeight - seat.log.scrollTop - seat.log.clientHeight < 24;
      for (const line of lines.filter(({ n }) => n > seat.last)) {
        seat.last = line.n;
        const text = element("bdi", { textContent: line.text, dir: "auto" });
        const item = element("li", { className: line.from ? "" : "rtlab-note" });
        if (line.from) item.append(element("bdi", { className: "rtlab-from", textContent: line.from }), " ");
        item.append(text);
        seat.log.append(item);
      }
      while (seat.log.children.length > lines.length) seat.log.firstChild.remove();
      if (atEnd) seat.log.scrollTop = seat.log.scrollHeight;
      seat.status.textContent = seat.why || status;
      seat.field.disabled = seat.button.disabled = !open;
      seat.field.placeholder = open ? "write, and press Enter" : "nobody is in the room";
    });
    leave.disabled = !open;
  };
  const answered = (message) => {
    const seat = seats.find(({ name }) => name === message.user);
    if (message.kind !== "answer" || !seat || seat.sent.n !== message.n) return;
    seat.why = message.why;
    // After a late answer, the field may hold something new.
    if (!message.why && seat.field.value === seat.sent.text) seat.field.value = "";
    seat.asked = 0;
    seat.sent = {};
    seat.field.readOnly = false;
    show();
  };
  model.on("change", show);
  model.on("msg:custom", answered);
  show();
  const scroll = setTimeout(() => seats.forEach(({ log }) => (log.scrollTop = log.scrollHeight)));

  const late = setInterval(() => {
    const lost = seats.filter(({ asked }) => asked && performance.now() - asked >= LOST_MS);
    if (!lost.length) return;
    for (const seat of lost) {
      seat.asked = 0; // its answer may still come, and is then taken
      seat.field.readOnly = false;
      seat.why = "no answer from the kernel: is it busy? The text is still here.";
    }
    show();
  }, 1000);
  return () => {
    clearInterval(late);
    clearTimeout(scroll);
    unwatch();
    forget();
    model.off("change", show);
    model.off("msg:custom", answered);
  };
}

export default { render };
