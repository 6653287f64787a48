// The reader's number goes to the kernel in a message of our own: while a cell awaits, JupyterLab
// delivers only the first save_changes(), and keeps the others until the cell has ended.

let made = 0;

function render({ model, el }) {
  const id = `rtlab-predict-${(made += 1)}`;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const unit = document.createElement("span");
  const answer = document.createElement("output");
  label.htmlFor = input.id = id;
  input.type = "text";
  input.placeholder = "your number";
  input.autocomplete = "off";
  input.setAttribute("aria-describedby", `${id}-answer`);
  answer.id = `${id}-answer`;
  answer.setAttribute("for", id);
  el.classList.add("rtlab-predict");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // the keys are for the field
  el.append(label, input, unit, answer);

  let committed = model.get("typed");
  const commit = () => {
    if (input.value === committed) return;
    committed = input.value;
    model.send({ commit: committed });
  };
  input.onchange = commit;
  input.onkeydown = (event) => {
    if (event.key === "Enter") commit();
  };

  const show = () => {
    label.replaceChildren(Object.assign(document.createElement("b"), { textContent: "Predict. " }));
    label.append(model.get("question"));
    unit.textContent = model.get("unit");
    answer.textContent = model.get("answer");
    answer.dataset.tone = model.get("tone");
    input.disabled = model.get("locked");
    input.setAttribute("aria-invalid", String(model.get("tone") === "bad"));
  };
  const typed = () => {
    committed = model.get("typed");
    // Never under the reader's fingers.
    if (document.activeElement !== input) input.value = committed;
  };
  model.on("change", show);
  model.on("change:typed", typed);
  input.value = committed;
  show();
  return () => {
    model.off("change", show);
    model.off("change:typed", typed);
  };
}

export default { render };
