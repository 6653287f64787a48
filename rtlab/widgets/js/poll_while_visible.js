// Shared: the kernel reads what a panel shows when a view asks, so nobody asks for a panel that is not seen.

const LOOK_MS = 400; // a look costs the kernel about a millisecond
const LOST_MS = 5000; // after this, an answer is not waited for any more

/** Ask for a look as long as `el` can be seen; `silence()` returns for how long one has had no answer, in ms. */
function keepLooking(model, el) {
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
  return {
    silence: () => (unanswered && !hidden() ? performance.now() - unanswered : 0),
    stop: () => {
      clearInterval(timer);
      model.off("msg:custom", answered);
    },
  };
}
