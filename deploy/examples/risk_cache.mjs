// A risk cache for a browser or Node: every lane's leverage over an edge, and how old it may be.
//
//   node deploy/examples/risk_cache.mjs ws://127.0.0.1:8081/v1/stream token-file
//   <script type="module">import { LeverageCache } from "./risk_cache.mjs"; …</script>, from one of edge.origins
//
// Node before 22 has no WebSocket of its own: `npm install ws`, or Debian's package node-ws.

const isNode = globalThis.process?.versions?.node !== undefined;
const Socket = globalThis.WebSocket ?? (await import("node:module")).createRequire(import.meta.url)("ws").WebSocket;
const LONGEST_PAUSE = 5000;

export class LeverageCache {
  lanes = new Map(); // "venue account lane" to its last LeverageChanged
  #loading = null; // the lanes of a snapshot that is not whole yet
  #position = null; // where to go on from
  #isLive = false;
  #currentAt = -Infinity; // all that was committed by then is in, in milliseconds of performance.now()
  #pause = 200;
  #told = Infinity; // how far this edge was behind the log when it said so last, in milliseconds

  // `changed` is told of each lane that is another one: (key, old, new).
  constructor(url, token, changed = () => {}) {
    Object.assign(this, { url, token, changed });
    this.#connect();
  }

  // Seconds for which something may be missing. It says so at once where the edge cannot read the log; where the network
  // is gone it grows. A browser cannot ping, so while nothing comes it grows up to edge.heartbeat.
  get lag() {
    return (performance.now() - this.#currentAt) / 1000;
  }

  // The lane's leverage as text; throws rather than say what may be older than `maxAge` seconds.
  get(key, maxAge = 10) {
    if (this.lag > maxAge) throw new Error(`the cache is ${this.lag.toFixed(1)} s behind`);
    return this.lanes.get(key)?.leverage;
  }

  #connect() {
    this.#loading = null;
    this.#told = Infinity;
    // A browser sets no header on a WebSocket; the token may come as a subprotocol beside the real one.
    const socket = new Socket(this.url, ["leverage.v1.json", `bearer.${this.token}`]);
    let watchdog;
    let again = () => {
      again = () => {};
      socket.onmessage = null;
      clearTimeout(watchdog);
      this.#isLive = false;
      setTimeout(() => this.#connect(), this.#pause * (0.5 + Math.random()));
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    };
    let silence = 20_000;
    socket.onopen = () => {
      const resume = this.#position === null ? {} : { resume: this.#position };
      socket.send(JSON.stringify({ type: "subscribe", id: "s", mode: "state", ...resume }));
    };
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "hello") silence = 2000 * frame.heartbeat_seconds + 1000;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => (again(), socket.close()), silence);
      this.#take(frame);
    };
    socket.onerror = () => {}; // the close comes after it
    socket.onclose = ({ code, reason }) => {
      if (code >= 4500) throw new Error(`the edge ended the stream for good: ${code} ${reason}`);
      again();
    };
  }

  #take(frame) {
    switch (frame.type) {
      case "snapshot": // of all lanes: what is not in it is no more
        this.#loading ??= new Map();
        for (const event of frame.lanes) this.#loading.set(keyOf(event), event);
        break;
      case "state":
        this.#put(frame.event);
        if (this.#told < 1000) this.#seen(1000); // an edge that is further behind says so at once
        break;
      case "live":
        this.#isLive = true;
        this.#pause = 200;
        this.#replace();
        break;
      case "heartbeat":
        this.#told = frame.lag_ms;
        this.#seen(frame.lag_ms);
        break;
      case "error":
        throw new Error(`${frame.code}: ${frame.message}`);
    }
    if (frame.position && this.#loading === null) this.#position = frame.position;
  }

  #seen(lag) {
    if (this.#isLive) this.#currentAt = Math.max(this.#currentAt, performance.now() - lag);
  }

  #put(event) {
    const key = keyOf(event);
    const lanes = this.#loading ?? this.lanes;
    if (lanes === this.lanes) this.changed(key, lanes.get(key), event);
    lanes.set(key, event);
  }

  #replace() {
    const [fresh, before] = [this.#loading, this.lanes];
    if (fresh === null) return;
    this.#loading = null;
    this.lanes = fresh;
    for (const [key, event] of fresh)
      if (before.get(key)?.event_id !== event.event_id) this.changed(key, before.get(key), event);
  }
}

function keyOf(event) {
  return `${event.target.venue} ${event.account} ${event.lane}`;
}

if (isNode && process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").pop())) {
  const [url, file] = process.argv.slice(2);
  const token = (await import("node:fs")).readFileSync(file, "utf8").trim();
  const tell = (key, old, now) => console.log(`${key} ${now.leverage}x${old ? ` after ${old.leverage}x` : ""}`);
  new LeverageCache(url, token, tell);
}
