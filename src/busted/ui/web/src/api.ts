// The API of this server, docs/api.md: what it sends, asking for it, and its stream of live events.
//
// The token is shown once, for a session: its cookie is out of reach here, and the token is not kept.

export interface Finding {
  kind: string;
  where?: string;
  sample?: string;
}

export interface Action {
  type: string;
  [field: string]: unknown;
}

export interface Connection {
  id: string;
  dst_ip?: string;
  dst_port?: number;
  sni?: string;
  peer?: { pid: number; name: string; argv?: string[] };
}

export interface Event {
  id: string;
  time: string;
  host: string;
  process: {
    pid: number;
    name: string;
    exe?: string;
    agent?: string;
    uid?: number;
    user?: string;
    pod?: string;
    namespace?: string;
    container_name?: string;
  };
  connection?: Connection;
  session_id?: string;
  exchange_id?: string;
  identity?: { id: string; name: string; principal?: string; mismatch?: string[] };
  policy?: {
    decision: "allow" | "audit" | "deny";
    reasons?: string[];
    rule?: string;
    file?: string;
    enforced?: string;
    error?: string;
  };
  action: Action;
}

export type Query = Record<string, string>;

const API = "api/v1";
export const RECONNECT_MS = 2000;

export class Refused extends Error {}

export async function signIn(token: string): Promise<void> {
  const answer = await fetch(address("/session"), { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw await problem(answer);
}

export async function signOut(): Promise<void> {
  await fetch(address("/session"), { method: "DELETE" });
}

async function problem(answer: Response): Promise<Error> {
  const told = (await answer.json().catch(() => null)) as { error?: string } | null;
  const why = told?.error ?? `the server answered ${answer.status}`;
  return answer.status === 401 ? new Refused(why) : new Error(why);
}

export function address(path: string, query: Query = {}): string {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  return `${API}${path}${asked.size ? `?${asked}` : ""}`;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(address(path, query), { signal });
  if (!answer.ok) throw await problem(answer);
  return (await answer.json()) as T;
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const sent = { "Content-Type": "application/json" };
  const answer = await fetch(address(path), { method: "POST", headers: sent, body: JSON.stringify(body) });
  if (!answer.ok) throw await problem(answer);
  return (await answer.json()) as T;
}

export async function download(path: string, query: Query, name: string): Promise<void> {
  const answer = await fetch(address(path, query));
  if (!answer.ok) throw await problem(answer);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

export interface Heard {
  event(event: Event): void;
  gap(count: number | null, why: string): void;
  state(connected: boolean, why?: Error): void;
}

type Said =
  | { kind: "event"; event: Event }
  | { kind: "gap"; count: number | null; why: string }
  | { kind: "state"; connected: boolean; why?: string; refused?: boolean }
  | { kind: "who" };

/**
 * Listens until told to stop, and connects again by itself behind the last event.
 *
 * A browser opens six connections to a server at most, and a stream holds one for good: so tabs that
 * ask for the same share one. The tab that has the lock reads and tells the others; when it goes, the
 * next one goes on. Where there are no locks (pages that came neither by TLS nor from this machine),
 * each tab reads for itself.
 */
export function listen(query: Query, heard: Heard): () => void {
  const stop = new AbortController();
  const name = `busted ${address("/stream", query)}`;
  const channel = new BroadcastChannel(name);
  let last = "";
  let leads = false;
  let state: Said = { kind: "state", connected: false };
  const take = (said: Said): void => {
    if (said.kind === "event") {
      last = said.event.id;
      heard.event(said.event);
    } else if (said.kind === "gap") {
      heard.gap(said.count, said.why);
    } else if (said.kind === "state") {
      const problem = said.refused ? Refused : Error;
      heard.state(said.connected, said.why === undefined ? undefined : new problem(said.why));
    }
  };
  const tell = (said: Said): void => {
    if (said.kind === "state") state = said;
    channel.postMessage(said);
    take(said);
  };
  channel.onmessage = (message: MessageEvent<Said>): void => {
    if (message.data.kind !== "who") take(message.data);
    else if (leads) channel.postMessage(state);
  };
  channel.postMessage({ kind: "who" } satisfies Said);
  const lead = async (): Promise<void> => {
    leads = true;
    while (!stop.signal.aborted) {
      try {
        await read(query, last, stop.signal, tell);
        tell({ kind: "state", connected: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        const refused = error instanceof Refused;
        tell({ kind: "state", connected: false, why: (error as Error).message, refused });
        if (refused) return;
      }
      await new Promise((done) => setTimeout(done, RECONNECT_MS));
    }
  };
  if (navigator.locks) {
    navigator.locks.request(name, { signal: stop.signal }, lead).catch(() => undefined);
  } else {
    void lead();
  }
  return () => {
    stop.abort();
    channel.close();
  };
}

async function read(query: Query, last: string, signal: AbortSignal, tell: (said: Said) => void): Promise<void> {
  const more: HeadersInit = last ? { "Last-Event-ID": last } : {};
  const answer = await fetch(address("/stream", query), { headers: more, signal });
  if (!answer.ok || !answer.body) throw await problem(answer);
  tell({ kind: "state", connected: true });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const said = parsed(part);
      if (said) tell(said);
    }
  }
}

// An event of the stream is lines of `name: value`; those that begin with a colon are comments.
function parsed(part: string): Said | null {
  const fields = new Map<string, string>();
  for (const line of part.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  const data = fields.get("data");
  if (data === undefined) return null;
  if (fields.get("event") !== "gap") return { kind: "event", event: JSON.parse(data) as Event };
  return { kind: "gap", ...(JSON.parse(data) as { count: number | null; why: string }) };
}
