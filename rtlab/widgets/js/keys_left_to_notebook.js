// Shared: divides keys and mouse clicks between a widget and JupyterLab, whose shortcuts listen at the document.

/** Keep the arrow keys on sliders: JupyterLab's shortcuts, at the document, would select another cell. */
function keepArrowKeys(el) {
  el.addEventListener("keydown", (event) => {
    if (event.target.type === "range" && event.key.startsWith("Arrow")) event.stopPropagation();
  });
}

/**
 * Let a mouse click on these buttons move neither the focus nor the notebook's active cell: the next
 * Shift+Enter then runs the next cell, and does not press the button. Tab still reaches each button.
 */
function leaveKeysToNotebook(...buttons) {
  for (const button of buttons) {
    button.addEventListener("mousedown", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
