// Sliders and a cable. What the reader does goes to the kernel as messages of our own: while a
// cell awaits, JupyterLab delivers only the first save_changes().

let panels = 0;

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
  profile.onchange = () => model.send({ set: { profile: profile.value } });
  el.append(make("label", { htmlFor: profile.id, textContent: "network" }), profile, make("span", {}));

  const button = (textContent, action) =>
    make("button", { type: "button", textContent, onclick: () => model.send({ action }) });
  const cable = button("Pull the cable", "cable");
  const cut = button("Cut once", "cut");
  const restore = button("Restore", "restore");
  el.append(make("div", { className: "rtlab-buttons" }, cable, cut, restore));
  const status = make("output", { className: "rtlab-status" });
  status.setAttribute("aria-live", "polite");
  el.append(status);

  const show = () => {
    const state = model.get("state");
    for (const { name, input, shown } of sliders) {
      if (document.activeElement !== input) input.value = state[name];
      shown.textContent = `${state[name]} ms`;
    }
    profile.replaceChildren(
      ...[["", "as it is"], ...model.get("profiles")].map(([value, textContent]) =>
        make("option", { value, textContent }),
      ),
    );
    profile.value = state.profile;
    cable.setAttribute("aria-pressed", String(state.pulled));
    cable.textContent = state.pulled ? "Plug it in again" : "Pull the cable";
    status.textContent = model.get("status");
    status.dataset.tone = model.get("tone");
  };
  model.on("change", show);
  show();
  return () => model.off("change", show);
}

export default { render };
