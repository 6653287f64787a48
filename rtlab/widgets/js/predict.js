// The reader's number goes to the kernel in a custom message: while a cell awaits, JupyterLab delivers
// only the first save_changes(), and keeps the others until the cell has ended.

function render({ model, el }) {
  // Random, not counted: each question loads a module of its own, which would count from 1.
  const id = `rtlab-predict-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const unit = document.createElement("span");
  const answer = document.createElement("output");
  label.htmlFor = input.id = id;
  input.type = "text";
  input.maxLength = 100; // the kernel takes no more
  input.placeholder = "your number";
  input.autocomplete = "off";
  input.setAttribute("aria-describedby", `${id}-answer`);
  answer.id = `${id}-answer`;
  answer.setAttribute("for", id);
  el.classList.add("rtlab-predict");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // typed keys are for the field
  const gone = document.createElement("div");
  gone.className = "rtlab-gone";
  gone.hidden = true;
  gone.setAttribute("role", "alert");
  el.append(label, input, unit, answer, gone);

  let committed = model.get("typed");
  let unanswered = 0; // when the number that the kernel has not answered yet was sent; 0 if there is none
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
    // Never change a field that the reader is editing.
    if (document.activeElement !== input) input.value = committed;
  };
  const changed = () => {
    unanswered = 0;
    show();
  };
  // Each commit is answered: one that changes nothing in the kernel brings no change.
  const answered = (message) => {
    if (message.kind === "answer") unanswered = 0;
  };
  model.on("change", changed);
  model.on("msg:custom", answered);
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
    model.off("msg:custom", answered);
    model.off("change:typed", typed);
  };
}

export default { render };
