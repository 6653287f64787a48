// Steps with the page's own EventSource, WebSocket, RTCPeerConnection and fetch. The kernel asks for them
// after a click.

const SOON_MS = 8000; // for what may never happen: a stream beyond the browser's limit, a server out of reach
const CHUNK = "x".repeat(16000);

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/**
 * Resolve with `test()` as soon as it is true, but after `ms` at the latest. `hear(listener)` subscribes to
 * the events after which to test again, and returns a function that unsubscribes.
 */
function until(hear, test, ms) {
  return new Promise((done) => {
    const look = (late) => {
      if (late !== true && !test()) return;
      clearTimeout(timer);
      forget();
      done(test());
    };
    const timer = setTimeout(look, ms, true);
    const forget = hear(() => look());
    look();
  });
}

/**
 * For a channel that carries JSON messages: one echo, the median round-trip time of echoes in ms, and the
 * bytes that are still buffered after a flood of messages.
 */
function talker(channel) {
  let number = 0;
  const waiting = new Map();
  channel.addEventListener("message", ({ data }) => {
    if (typeof data !== "string") return; // rtlab's control frames on a data channel are binary
    const { id } = JSON.parse(data);
    waiting.get(id)?.();
    waiting.delete(id);
  });
  const echo = (payload) =>
    new Promise((done) => {
      const id = `page-${(number += 1)}`;
      waiting.set(id, done);
      channel.send(JSON.stringify({ type: "echo", id, payload }));
    });
  return {
    echo,
    async roundTrips(count) {
      const times = [];
      for (let n = 0; n < count; n += 1) {
        const began = performance.now();
        await echo(n);
        times.push(performance.now() - began);
      }
      return median(times);
    },
    async flood(chunks) {
      const answers = Array.from({ length: chunks }, () => echo(CHUNK));
      const buffered = channel.bufferedAmount;
      await Promise.all(answers);
      return buffered;
    },
  };
}

function socketTo(url) {
  const socket = new WebSocket(url, ["rtlab.v1.json"]);
  return new Promise((done, fail) => {
    socket.addEventListener("message", () => done(socket), { once: true }); // the welcome message
    socket.onclose = ({ code }) => fail(new Error(`the WebSocket closed with ${code}`));
  });
}

/** Return what a page can find out about why it cannot reach the server. */
async function whyNot(error, blocked) {
  const states = [];
  for (const name of ["loopback-network", "local-network-access"]) {
    try {
      states.push((await navigator.permissions.query({ name })).state);
    } catch {
      // this browser does not know the permission
    }
  }
  return {
    error: String(error),
    origin: location.origin,
    host: location.hostname,
    secure: location.protocol === "https:",
    policy: blocked.length > 0,
    permission: states.find((state) => state !== "granted") ?? "",
  };
}

/** Return the steps that the kernel may ask for. `end` closes everything that they have opened. */
function stepsOf() {
  let open = [];
  let source = null;
  let heard = null;
  const keep = (thing) => {
    open.push(thing);
    return thing;
  };
  const steps = {
    async reach({ url }) {
      const blocked = [];
      const note = ({ blockedURI }) => url.startsWith(blockedURI) && blocked.push(blockedURI);
      document.addEventListener("securitypolicyviolation", note);
      try {
        const answer = await fetch(`${url}/poll`, { cache: "no-store", signal: AbortSignal.timeout(SOON_MS) });
        const { messages } = await answer.json();
        return { reached: true, session: messages[0].payload.session };
      } catch (error) {
        return { reached: false, ...(await whyNot(error, blocked)) };
      } finally {
        document.removeEventListener("securitypolicyviolation", note);
      }
    },

    async poll({ url, count }) {
      const times = [];
      for (let n = 0; n < count; n += 1) {
        const began = performance.now();
        await (await fetch(`${url}/poll`, { cache: "no-store" })).json();
        times.push(performance.now() - began);
      }
      return { ms: median(times) };
    },

    // How many of `wanted` streams open, and whether a small request gets through beside them. An order of
    // events decides, not a timeout: after the sixth stream, `echoes` round trips pass over a WebSocket,
    // which the browser's limit for streams does not concern.
    async streams({ url, wsUrl, wanted, echoes }) {
      const sources = Array.from({ length: wanted }, () => keep(new EventSource(`${url}/sse`)));
      const isOpen = ({ readyState }) => readyState === EventSource.OPEN;
      const count = () => sources.filter(isOpen).length;
      const hear = (look) => {
        for (const one of sources) one.addEventListener("open", look);
        return () => sources.forEach((one) => one.removeEventListener("open", look));
      };
      await until(hear, () => count() >= 6, SOON_MS);
      let answered = 0;
      const small = fetch(`${url}/poll`, { cache: "no-store" }).then(() => (answered += 1));
      const socket = keep(await socketTo(wsUrl));
      await talker(socket).roundTrips(echoes);
      const [opened, meanwhile] = [count(), answered];
      for (const one of sources.filter(isOpen).slice(1)) one.close(); // five connections for waiting requests
      await small;
      return { opened, answered: meanwhile };
    },

    async socket({ wsUrl, echoes, chunks }) {
      const socket = keep(await socketTo(wsUrl));
      const talk = talker(socket);
      return { ms: await talk.roundTrips(echoes), buffered: await talk.flood(chunks) };
    },

    async channel({ url, echoes, chunks }) {
      const began = performance.now();
      const peer = keep(new RTCPeerConnection());
      const channel = peer.createDataChannel("page");
      const welcome = new Promise((done) => {
        channel.addEventListener("message", done, { once: true });
      });
      await peer.setLocalDescription();
      const gathered = () => peer.iceGatheringState === "complete";
      const hear = (look) => {
        peer.addEventListener("icegatheringstatechange", look);
        return () => peer.removeEventListener("icegatheringstatechange", look);
      };
      await until(hear, gathered, 500); // the server needs no candidates
      const body = JSON.stringify(peer.localDescription);
      const answer = await fetch(`${url}/rtc/offer`, { method: "POST", body });
      if (!answer.ok) throw new Error(await answer.text());
      await peer.setRemoteDescription(await answer.json());
      const late = new Promise((done) => setTimeout(done, SOON_MS, null));
      if (!(await Promise.race([welcome, late]))) {
        throw new Error(`no data channel: ICE is ${peer.iceConnectionState}, this browser found no path on this machine`);
      }
      const opened = performance.now() - began;
      const talk = talker(channel);
      return { opened, ms: await talk.roundTrips(echoes), buffered: await talk.flood(chunks) };
    },

    // Follow one stream, with `onmessage` and with a listener for the name of its events.
    async follow({ url, name }) {
      source?.close();
      const mine = (source = keep(new EventSource(url)));
      heard = { unnamed: 0, named: [], opens: 0, lost: 0, away: 0 };
      mine.onmessage = () => (heard.unnamed += 1);
      mine.addEventListener("open", () => {
        heard.opens += 1;
        if (heard.lost) heard.away = performance.now() - heard.lost;
      });
      mine.addEventListener("error", () => (heard.lost = performance.now()));
      const ready = new Promise((done) => mine.addEventListener("welcome", done, { once: true }));
      mine.addEventListener(name, ({ data }) => {
        heard.named.push(JSON.parse(data).payload);
        heard.look?.();
      });
      await ready;
      return {};
    },

    async followed({ last }) {
      const hear = (look) => {
        heard.look = look;
        return () => (heard.look = null);
      };
      await until(hear, () => heard.named.includes(last), 3 * SOON_MS);
      const { unnamed, named, opens, away } = heard;
      return { unnamed, named, opens, away: away / 1000 };
    },

    async given_up() {
      const hear = (look) => {
        source.addEventListener("error", look);
        return () => source.removeEventListener("error", look);
      };
      await until(hear, () => source.readyState === EventSource.CLOSED, 3 * SOON_MS);
      return { readyState: source.readyState };
    },

    async end() {
      for (const thing of open) {
        thing.onclose = null;
        thing.close();
      }
      open = [];
      return {};
    },
  };
  return steps;
}

function render({ model, el }) {
  beginPanel(el, "rtlab-page", "The page's own transports");
  const view = uniqueId("page"); // only the clicked view runs steps
  const steps = stepsOf();
  let deaf = false;
  const [gone, unwatch] = kernelNotice(model, () => 0, (reason) => {
    deaf = Boolean(reason);
    show();
  });
  const button = element("button", { type: "button" });
  const where = element("span", { className: "rtlab-faint" });
  where.append("this page's origin: ", element("code", { textContent: location.origin }));
  const status = element("output");
  status.setAttribute("aria-live", "polite");
  const heads = element("tr");
  const body = element("tbody");
  const caption = element("caption");
  const table = element("table", {}, caption, element("thead", {}, heads), body);
  el.append(gone, element("div", { className: "rtlab-row" }, button, where), status, table);

  button.onclick = () => model.send({ action: model.get("running") ? "stop" : "run", view, origin: location.origin });
  const show = () => {
    button.textContent = model.get("running") ? "Stop" : "Run in this browser";
    button.disabled = deaf;
    status.textContent = model.get("status");
    status.dataset.tone = model.get("tone");
    caption.textContent = model.get("caption");
    const [names, ...rows] = model.get("table");
    const cell = (tag, textContent, scope) => element(tag, scope ? { textContent, scope } : { textContent });
    heads.replaceChildren(...names.map((name) => cell("th", name, "col")));
    body.replaceChildren(
      ...rows.map(([name, ...cells]) => element("tr", {}, cell("th", name, "row"), ...cells.map((text) => cell("td", text)))),
    );
  };
  const asked = async (message) => {
    if (message.kind !== "ask" || message.view !== view) return;
    const answer = { action: "answer", id: message.id };
    try {
      answer.value = await steps[message.step](message.args);
    } catch (error) {
      answer.error = String(error?.message ?? error);
    }
    model.send(answer);
  };
  model.on("change", show);
  model.on("msg:custom", asked);
  leaveKeysToNotebook(button);
  show();
  return () => {
    steps.end();
    unwatch();
    model.off("change", show);
    model.off("msg:custom", asked);
  };
}

export default { render };
