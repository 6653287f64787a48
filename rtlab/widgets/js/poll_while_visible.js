// Shared: the kernel reads a panel's state when a view polls it. A hidden panel is not polled.

const LOOK_MS = 400; // time between polls; one costs the kernel about a millisecond
const LOST_MS = 5000; // after this time without an answer, the next poll is sent

/** Poll as long as `el` is visible; `silence()` returns for how long polls have had no answer, in ms. */
function keepLooking(model, el) {
  let unanswered = 0; // when the first poll without an answer was sent; 0 if there is none
  let sent = 0;
  let live = true; // to send to a kernel that is gone is an error of the page
  const hidden = () => document.hidden || !el.clientWidth;
  const look = () => {
    const now = performance.now();
    if (hidden() || !live) unanswered = 0;
    else if (!unanswered || now - sent > LOST_MS) {
      unanswered ||= now;
      sent = now;
      model.send({ action: "look" });
    }
  };
  const answered = (message) => {
    if (message.kind === "looked") unanswered = 0;
  };
  const changed = () => {
    live = false; // for good: the next kernel does not know this widget
  };
  model.on("msg:custom", answered);
  model.on("comm_live_update", changed);
  const timer = setInterval(look, LOOK_MS);
  look();
  return {
    silence: () => (unanswered && !hidden() ? performance.now() - unanswered : 0),
    stop: () => {
      clearInterval(timer);
      model.off("msg:custom", answered);
      model.off("comm_live_update", changed);
    },
  };
}
