// Sliders and a cable. The reader's actions go to the kernel as custom messages: while a cell awaits,
// JupyterLab delivers only the first save_changes().

function render({ model, el }) {
  const id = uniqueId("faults");
  beginPanel(el, "rtlab-faults", "Faults between client and server");
  keepArrowKeys(el);
  const looking = keepLooking(model, el);
  const [gone, unwatch] = kernelNotice(model, looking.silence, (reason) => {
    for (const control of [...sliders.map(({ input }) => input), profile, cable, cut, restore])
      control.disabled = Boolean(reason);
  });
  el.append(gone);
  const sliders = ["rtt", "jitter"].map((name) => {
    const [text, most] = { rtt: ["round trip", 300], jitter: ["jitter", 100] }[name];
    const input = element("input", { type: "range", min: 0, max: most, step: 1, id: `${id}-${name}` });
    const shown = element("output", {});
    input.oninput = () => (shown.textContent = `${input.value} ms`);
    // Sent on release: the proxy is changed once, not a hundred times.
    input.onchange = () => model.send({ set: { [name]: Number(input.value) } });
    const label = element("label", { htmlFor: input.id, textContent: text });
    el.append(element("div", { className: "rtlab-setting" }, label, input, shown));
    return { name, input, shown };
  });
  const profile = element("select", { id: `${id}-profile` });
  profile.append(
    ...[["", "as it is"], ...model.get("profiles")].map(([value, textContent]) =>
      element("option", { value, textContent }),
    ),
  );
  profile.onchange = () => model.send({ set: { profile: profile.value } });
  const label = element("label", { htmlFor: profile.id, textContent: "network" });
  el.append(element("div", { className: "rtlab-setting" }, label, profile));

  const button = (textContent, action, wanted = () => ({})) => {
    const onclick = () => model.send({ action, ...wanted() });
    const made = element("button", { type: "button", textContent, onclick });
    leaveKeysToNotebook(made);
    return made;
  };
  // The button sends what it shows, so that a second click before the answer does not undo the first.
  const cable = button("Pull the cable", "cable", () => ({ pulled: !model.get("state").pulled }));
  const cut = button("Cut once", "cut");
  const restore = button("Restore", "restore");
  el.append(element("div", { className: "rtlab-buttons" }, cable, cut, restore));
  const request = element("div", { className: "rtlab-request" });
  const status = element("output", { className: "rtlab-status" });
  for (const told of [request, status]) told.setAttribute("aria-live", "polite");
  const [code, forget] = copyAsCode(model, "these faults as code");
  el.append(request, status, code);

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

  // A reader who is asked to press a button must see the panel, and the plot below it.
  const letGo = keepInSight(model, el, ["change:request"], () => model.get("request"));

  return () => {
    looking.stop();
    forget();
    letGo();
    unwatch();
    model.off("change", show);
  };
}

export default { render };
