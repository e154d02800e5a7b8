// Tiled over HTTP: reads only, with the key in the header and nowhere else.

const STORED = "rankaae-stream-key";
const PATIENCE = 15_000; // ms until a server that does not answer counts as lost

// The path of a node: a container may be given as a/b/c, keys contain no slash.
export function joined(container, ...keys) {
  return [...container.split("/"), ...keys].map(encodeURIComponent).join("/");
}

export class TiledError extends Error {
  // status 0: no answer. proxied: the answer is of the dashboard's proxy, not of Tiled.
  constructor(status, message, proxied = false) {
    super(message);
    this.status = status;
    this.proxied = proxied;
  }
}

export class Tiled {
  #key = sessionStorage.getItem(STORED) ?? "";
  #clock = null;

  constructor(api, node) {
    this.api = api;
    this.node = node;
  }

  get key() {
    return this.#key;
  }

  set key(value) {
    this.#key = value;
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
  }

  // Seconds since the epoch by the server's clock, from which ages are counted.
  now() {
    const here = Date.now() / 1000;
    return this.#clock === null ? here : here + this.#clock;
  }

  // The path of a node below the container of results.
  path(...keys) {
    return joined(this.node, ...keys);
  }

  // Runs of a purpose, the last published first: {runs: [{uid, selected}], next}.
  async runs(purpose, select, { cursor = null, limit = 300, where = {} } = {}) {
    const query = [
      ["fields", "metadata"],
      ["omit_links", "true"],
      ["sort", "-"],
      ["select_metadata", select],
      ["page[limit]", limit],
    ];
    if (cursor !== null) query.push(["page[cursor]", cursor]);
    for (const [key, value] of Object.entries({ "start.purpose": purpose, ...where })) {
      query.push(["filter[eq][condition][key]", key]);
      query.push(["filter[eq][condition][value]", JSON.stringify(value)]);
    }
    const answer = await this.get(`search/${this.path()}`, query);
    const next = /page\[cursor\]=(\d+)/.exec(decodeURIComponent(answer.links?.next ?? ""));
    return {
      runs: answer.data.map((node) => ({ uid: node.id, selected: node.attributes.metadata?.selected })),
      next: next ? next[1] : null,
    };
  }

  async metadata(keys, select) {
    const query = [["fields", "metadata"], ["omit_links", "true"], ["select_metadata", select]];
    const answer = await this.get(`metadata/${this.path(...keys)}`, query);
    return answer.data.attributes.metadata?.selected;
  }

  async children(...keys) {
    const query = [["fields", ""], ["omit_links", "true"], ["page[limit]", 100]];
    const answer = await this.get(`search/${this.path(...keys)}`, query);
    return answer.data.map((node) => node.id);
  }

  array(keys, slice = "") {
    const query = [["format", "json"]];
    if (slice) query.push(["slice", slice]);
    return this.get(`array/full/${this.path(...keys)}`, query);
  }

  table(keys) {
    return this.get(`table/full/${this.path(...keys)}`, [["format", "json"]]);
  }

  async has(tree, uid) {
    try {
      await this.get(`metadata/${joined(tree, uid)}`, [
        ["fields", ""],
        ["omit_links", "true"],
      ]);
      return true;
    } catch (error) {
      if (error.status === 404) return false;
      throw error;
    }
  }

  async get(path, query) {
    const address = new URL(path, this.api);
    for (const [key, value] of query) address.searchParams.append(key, value);
    const headers = { Accept: "application/json" };
    if (this.#key) headers.Authorization = `Apikey ${this.#key}`;
    let answer;
    try {
      answer = await fetch(address, {
        headers,
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(PATIENCE),
      });
    } catch {
      throw new TiledError(0, "the server does not answer");
    }
    const date = Date.parse(answer.headers.get("Date") ?? "");
    // The header has whole seconds; half a second more is right on average.
    if (Number.isFinite(date)) this.#clock = (date + 500 - Date.now()) / 1000;
    const proxied = answer.headers.has("X-Rankaae-Stream-Proxy");
    let body;
    try {
      body = await answer.json();
    } catch {
      body = null;
    }
    if (answer.ok && body !== null) return body;
    const detail = typeof body?.detail === "string" ? body.detail : `HTTP ${answer.status}`;
    throw new TiledError(answer.ok ? 0 : answer.status, detail, proxied);
  }

  // A websocket on a node's stream; the key goes as its first message, never in the address.
  socket(keys, start = null) {
    const address = new URL(`stream/single/${this.path(...keys)}`, this.api);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("envelope_format", "json");
    if (start !== null) address.searchParams.set("start", start);
    const socket = new WebSocket(address);
    if (this.#key) {
      socket.addEventListener("open", () =>
        socket.send(JSON.stringify({ type: "auth", api_key: this.#key })),
      );
    }
    return socket;
  }
}
