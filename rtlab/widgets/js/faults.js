// Sliders and a cable. What the reader does goes to the kernel as messages of our own: while a
// cell awaits, JupyterLab delivers only the first save_changes().

let panels = 0;
const LOOK_MS = 400; // a look costs the kernel about a millisecond
const LOST_MS = 5000; // after this, an answer is not waited for any more

function render({ model, el }) {
  const id = `rtlab-faults-${(panels += 1)}`;
  const make = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  el.classList.add("rtlab-faults");
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Faults between client and server");

  keepArrowKeys(el);
  const gone = make("div", { className: "rtlab-gone", hidden: true, role: "alert" });
  el.append(gone);
  const sliders = ["rtt", "jitter"].map((name) => {
    const [text, most] = { rtt: ["round trip", 300], jitter: ["jitter", 100] }[name];
    const input = make("input", { type: "range", min: 0, max: most, step: 1, id: `${id}-${name}` });
    const shown = make("output", {});
    input.oninput = () => (shown.textContent = `${input.value} ms`);
    // On release: one change of the proxy, not a hundred.
    input.onchange = () => model.send({ set: { [name]: Number(input.value) } });
    el.append(make("label", { htmlFor: input.id, textContent: text }), input, shown);
    return { name, input, shown };
  });
  const profile = make("select", { id: `${id}-profile` });
  profile.append(
    ...[["", "as it is"], ...model.get("profiles")].map(([value, textContent]) =>
      make("option", { value, textContent }),
    ),
  );
  profile.onchange = () => model.send({ set: { profile: profile.value } });
  el.append(make("label", { htmlFor: profile.id, textContent: "network" }), profile, make("span", {}));

  const button = (textContent, action) => {
    const made = make("button", { type: "button", textContent, onclick: () => model.send({ action }) });
    leaveKeysToNotebook(made);
    return made;
  };
  const cable = button("Pull the cable", "cable");
  const cut = button("Cut once", "cut");
  const restore = button("Restore", "restore");
  el.append(make("div", { className: "rtlab-buttons" }, cable, cut, restore));
  const request = make("div", { className: "rtlab-request" });
  const status = make("output", { className: "rtlab-status" });
  for (const told of [request, status]) told.setAttribute("aria-live", "polite");
  el.append(request, status);

  const show = () => {
    const state = model.get("state");
    for (const { name, input, shown } of sliders) {
      if (document.activeElement !== input) input.value = state[name];
      shown.textContent = `${state[name]} ms`;
    }
    profile.value = state.profile;
    cable.setAttribute("aria-pressed", String(state.pulled));
    cable.textContent = state.pulled ? "Plug it in again" : "Pull the cable";
    request.textContent = model.get("request");
    cable.classList.toggle("rtlab-wanted", Boolean(request.textContent));
    status.textContent = model.get("status");
    status.dataset.tone = model.get("tone");
  };
  model.on("change", show);
  show();

  // Who is asked to press something must see it, and the plot below: JupyterLab's own scrolling puts the
  // next cell into the middle of a low window, and the panel out of it.
  const intoSight = () => {
    const area = el.closest(".jp-OutputArea");
    const scroller = el.closest(".jp-WindowedPanel-outer");
    if (!area || !scroller || !model.get("request")) return;
    const [seen, all] = [area.getBoundingClientRect(), scroller.getBoundingClientRect()];
    if (seen.top < all.top || seen.bottom > all.bottom) area.scrollIntoView({ block: "start" });
  };
  model.on("change:request", intoSight);
  const later = [50, 250].map((ms) => setTimeout(intoSight, ms)); // when what stands below is laid out

  // The kernel reads the proxy's state when a view asks, so nobody asks for a panel that is not seen.
  let unanswered = 0; // when the first look that has no answer yet was sent
  let sent = 0;
  const hidden = () => document.hidden || !el.clientWidth;
  const look = () => {
    const now = performance.now();
    if (hidden()) unanswered = 0;
    else if (!unanswered || now - sent > LOST_MS) {
      unanswered ||= now;
      sent = now;
      model.send({ action: "look" });
    }
  };
  const answered = (message) => {
    if (message.kind === "looked") unanswered = 0;
  };
  model.on("msg:custom", answered);
  const timer = setInterval(look, LOOK_MS);
  look();

  const unwatch = watchKernel(
    model,
    () => (unanswered && !hidden() ? performance.now() - unanswered : 0),
    (reason) => {
      gone.textContent = reason ?? "";
      gone.hidden = !reason;
      for (const control of [...sliders.map(({ input }) => input), profile, cable, cut, restore])
        control.disabled = Boolean(reason);
    },
  );
  return () => {
    clearInterval(timer);
    later.forEach(clearTimeout);
    unwatch();
    model.off("change:request", intoSight);
    model.off("msg:custom", answered);
    model.off("change", show);
  };
}

export default { render };
