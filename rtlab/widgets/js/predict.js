// The reader's number goes to the kernel in a message of our own: while a cell awaits, JupyterLab
// delivers only the first save_changes(), and keeps the others until the cell has ended.

function render({ model, el }) {
  // Not counted: each question is a module of its own, and would count from 1.
  const id = `rtlab-predict-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
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
  const gone = document.createElement("div");
  gone.className = "rtlab-gone";
  gone.hidden = true;
  gone.setAttribute("role", "alert");
  el.append(label, input, unit, answer, gone);

  let committed = model.get("typed");
  let unanswered = 0; // when a number was sent that the kernel has not noted yet
  const commit = () => {
    if (input.value === committed) return;
    committed = input.value;
    unanswered = performance.now();
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
    input.disabled = model.get("locked") || !gone.hidden;
    input.setAttribute("aria-invalid", String(model.get("tone") === "bad"));
  };
  const typed = () => {
    committed = model.get("typed");
    // Never under the reader's fingers.
    if (document.activeElement !== input) input.value = committed;
  };
  const changed = () => {
    unanswered = 0;
    show();
  };
  model.on("change", changed);
  model.on("change:typed", typed);
  input.value = committed;
  show();
  const unwatch = watchKernel(
    model,
    () => (unanswered ? performance.now() - unanswered : 0),
    (reason) => {
      gone.textContent = reason ?? "";
      gone.hidden = !reason;
      show();
    },
  );
  return () => {
    unwatch();
    model.off("change", changed);
    model.off("change:typed", typed);
  };
}

export default { render };
