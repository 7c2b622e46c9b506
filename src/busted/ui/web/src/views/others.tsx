// Processes, MCP, policy, coverage and health: a table or two each.

import type { JSX } from "preact";
import type { Connection, Event } from "../api";
import { Bars, Decision, Facts, Shown, Table, useAsked } from "../parts";
import { to } from "../place";
import { agentOf, moment, number, safe, summary } from "../text";
import { Trial } from "./trial";
import { over, useRange, type Total } from "./totals";

interface Group {
  pid?: number;
  subject?: string;
  events: number;
  first_seen: string;
  last_seen: string;
  newest: Event;
}

export function ProcessesView(): JSX.Element {
  const asked = useAsked<{ processes: Group[] }>("/processes", { limit: "500" }, 5000);
  return (
    <section>
      <h2>Processes</h2>
      <Shown asked={asked} empty={(data) => data.processes.length === 0} none="No process is in the history.">
        {(data) => (
          <Table head={["Process", "Agent", "User", "Where", "#Events", "First seen", "Last seen", "Newest"]} label="Processes">
            {data.processes.map((one) => {
              const process = one.newest.process;
              return (
                <tr key={one.pid}>
                  <td><a href={to("live", "", { pid: String(one.pid) })}>{safe(process.name)} {one.pid}</a></td>
                  <td>{agentOf(one.newest)}</td>
                  <td>{safe(process.user ?? process.uid)}</td>
                  <td>{safe(process.pod ? `${process.namespace ?? ""}/${process.pod}` : process.container_name)}</td>
                  <td class="number">{one.events}</td>
                  <td>{moment(one.first_seen)}</td>
                  <td>{moment(one.last_seen)}</td>
                  <td class="cut">{summary(one.newest)}</td>
                </tr>
              );
            })}
          </Table>
        )}
      </Shown>
    </section>
  );
}

interface Tool {
  name: string;
  hash: string;
  changed?: boolean;
}

interface Offer {
  event: Event;
  server: string | undefined;
  tool: Tool;
}

/** The host of a server, or the program that it is. */
function serverOf(connection: Connection | undefined): string | undefined {
  const program = connection?.peer?.argv?.join(" ") ?? connection?.peer?.name;
  return connection?.sni ?? connection?.dst_ip ?? program;
}

/** Each tool once as it is, and once more for each other way it was before; the newest first. */
function offered(events: Event[]): Offer[] {
  const offers = new Map<string, Offer>();
  for (const event of events) {
    const server = (event.action.server as { name?: string } | undefined)?.name ?? serverOf(event.connection);
    for (const tool of (event.action.tools as Tool[] | undefined) ?? []) {
      const key = JSON.stringify([server, tool.name, tool.hash]);
      if (!offers.has(key)) offers.set(key, { event, server, tool });
    }
  }
  return [...offers.values()];
}

export function McpView(): JSX.Element {
  const used = useAsked<{ tools: Group[] }>("/mcp", { limit: "500" }, 5000);
  const lists = useAsked<{ events: Event[] }>("/events", { type: "McpResponse", subject: "tools/list", limit: "200" }, 5000);
  return (
    <section>
      <h2>MCP servers and tools</h2>
      <Shown asked={used} empty={(data) => data.tools.length === 0} none="No MCP message is in the history.">
        {(data) => (
          <Table head={["Tool or method", "Agent", "Server", "#Times", "Last used"]} label="Tools and methods">
            {data.tools.map((one) => (
              <tr key={one.subject}>
                <td><a href={to("live", "", { type: "McpRequest", text: String(one.subject) })}>{safe(one.subject)}</a></td>
                <td>{agentOf(one.newest)}</td>
                <td>{safe(serverOf(one.newest.connection))}</td>
                <td class="number">{one.events}</td>
                <td>{moment(one.last_seen)}</td>
              </tr>
            ))}
          </Table>
        )}
      </Shown>
      <h3>Tools that servers offer</h3>
      <Shown asked={lists} empty={(data) => data.events.length === 0} none="No server has listed its tools yet.">
        {(data) => (
          <Table head={["Last listed", "Server", "Tool", "Hash", ""]} label="Tools that servers offer">
            {offered(data.events).map(({ event, server, tool }) => (
              <tr key={event.id + tool.name}>
                <td>{moment(event.time)}</td>
                <td>{safe(server)}</td>
                <td>{safe(tool.name)}</td>
                <td><code title={safe(tool.hash)}>{safe(tool.hash).slice(0, 12)}</code></td>
                <td>{tool.changed && <span class="tag deny">changed</span>}</td>
              </tr>
            ))}
          </Table>
        )}
      </Shown>
    </section>
  );
}

interface PolicyAnswer {
  policy: { path: string; on_error: string; enforcement: string; counts: Record<string, number>; refused?: string } | null;
  held: { allowed: number; denied: number; median_milliseconds?: number } | null;
  decisions: Total[];
}

export function PolicyView(): JSX.Element {
  const { query, minutes, picker } = useRange();
  const asked = useAsked<PolicyAnswer>("/policy", { ...query, minutes }, 5000);
  const denied = useAsked<{ events: Event[] }>("/events", { ...query, decision: "deny", limit: "200" }, 5000);
  return (
    <section>
      <h2>Policy {picker}</h2>
      <Shown asked={asked} empty={() => false} none="">
        {(data) => (
          <>
            {!data.policy && <p class="notice">The monitor has no policy.</p>}
            {data.policy && (
              <Facts
                of={{
                  policy: data.policy.path,
                  enforcement: data.policy.enforcement,
                  "on error": data.policy.on_error,
                  refused: data.policy.refused,
                  ...data.policy.counts,
                }}
              />
            )}
            {data.held && <Facts of={{ "held and allowed": data.held.allowed, "held and denied": data.held.denied, "median wait, ms": data.held.median_milliseconds }} />}
            <div class="charts">{data.decisions.some((total) => total.decision) && <Bars bars={over(data.decisions.filter((total) => total.decision), minutes, "decision", (total) => total.events)} label="Decisions" />}</div>
          </>
        )}
      </Shown>
      <h3>Rules that denied</h3>
      <Shown asked={denied} empty={(data) => data.events.length === 0} none="Nothing was denied in this time.">
        {(data) => (
          <>
            <Table head={["Rule", "File", "#Times"]} label="Rules that denied">
              {hits(data.events).map(([rule, file, count]) => (
                <tr key={rule + file}><td>{safe(rule)}</td><td>{safe(file)}</td><td class="number">{count}</td></tr>
              ))}
            </Table>
            <Table head={["Time", "Agent", "What", "Decision", "Why"]} label="What was denied">
              {data.events.map((event) => (
                <tr key={event.id}>
                  <td>{event.exchange_id ? <a href={to("conversation", `exchange/${event.exchange_id}`)}>{moment(event.time)}</a> : moment(event.time)}</td>
                  <td>{agentOf(event)}</td>
                  <td class="cut">{event.action.type} {summary(event)}</td>
                  <td><Decision event={event} /></td>
                  <td>{(event.policy?.reasons ?? []).map(safe).join("; ")}</td>
                </tr>
              ))}
            </Table>
          </>
        )}
      </Shown>
      <Trial />
    </section>
  );
}

function hits(events: Event[]): [string, string, number][] {
  const counts = new Map<string, [string, string, number]>();
  for (const { policy } of events) {
    const rule = policy?.rule ?? policy?.error ?? "";
    const key = `${policy?.file ?? ""} ${rule}`;
    const row = counts.get(key) ?? [rule, policy?.file ?? "", 0];
    row[2] += 1;
    counts.set(key, row);
  }
  return [...counts.values()].sort((a, b) => b[2] - a[2]);
}

interface CoverageAnswer {
  libraries: { path: string; kind: string; processes: number }[];
  unreadable: Record<string, string>;
  left_out: Record<string, string>;
  lost: Record<string, number>;
}

function Pairs(props: { title: string; of: Record<string, unknown>; none: string }): JSX.Element {
  const rows = Object.entries(props.of);
  return (
    <>
      <h3>{props.title}</h3>
      {rows.length === 0 ? <p class="notice">{props.none}</p> : <Facts of={Object.fromEntries(rows.map(([name, value]) => [safe(name), value]))} />}
    </>
  );
}

interface Unread {
  state: string;
  reason?: string;
  stack?: string;
  library?: string;
  name?: string;
  provider?: string;
  wire_sent: number;
  wire_received: number;
  decoded_sent?: number;
  decoded_received?: number;
}

/** Connections of agents and to AI hosts that could not be read, as the history has them. */
function Unreadable(): JSX.Element {
  const asked = useAsked<{ events: Event[] }>("/events", { type: "Coverage", limit: "500" }, 5000);
  return (
    <>
      <h3>Connections that could not be read</h3>
      <Shown asked={asked} empty={(data) => !data.events.some((event) => event.action.connection)} none="Every connection of agents and to AI hosts was read.">
        {(data) => (
          <Table head={["Time", "Process", "Agent", "Host", "State", "Why", "TLS stack", "#Bytes on the wire", "#Bytes read"]} label="Connections that could not be read">
            {data.events.map((event) => {
              const told = event.action.connection as Unread | undefined;
              return told && (
                <tr key={event.id}>
                  <td>{moment(event.time)}</td>
                  <td>{safe(event.process.name)} {event.process.pid}</td>
                  <td>{agentOf(event)}</td>
                  <td>{safe(told.name ?? told.provider)}</td>
                  <td>{safe(told.state)}</td>
                  <td>{safe(told.reason)}</td>
                  <td title={safe(told.library)}>{safe(told.stack)}</td>
                  <td class="number">{number(told.wire_sent + told.wire_received)}</td>
                  <td class="number">{number((told.decoded_sent ?? 0) + (told.decoded_received ?? 0))}</td>
                </tr>
              );
            })}
          </Table>
        )}
      </Shown>
    </>
  );
}

export function CoverageView(): JSX.Element {
  const asked = useAsked<CoverageAnswer>("/coverage", {}, 5000);
  return (
    <section>
      <h2>Coverage</h2>
      <Unreadable />
      <Shown asked={asked} empty={() => false} none="">
        {(data) => (
          <>
            <h3>TLS libraries that are read</h3>
            {data.libraries.length === 0 && <p class="notice">None.</p>}
            {data.libraries.length > 0 && (
              <Table head={["File", "Kind", "#Processes, when it was found"]} label="TLS libraries that are read">
                {data.libraries.map((one) => (
                  <tr key={one.path}><td>{safe(one.path)}</td><td>{safe(one.kind)}</td><td class="number">{one.processes}</td></tr>
                ))}
              </Table>
            )}
            <Pairs title="Not readable" of={data.unreadable} none="Every library that was found is read." />
            <Pairs title="Left out" of={data.left_out} none="Nothing is left out on this host." />
            <Pairs title="Lost, by place" of={data.lost} none="Nothing was lost." />
          </>
        )}
      </Shown>
    </section>
  );
}

interface Monitor {
  version: string;
  host: string;
  started: string;
  content: string;
  identities: number;
  lost: Record<string, number>;
  kernel: { release: string; way: string; buffer: string; fill: number | null; features: Record<string, string> };
  programs: { name: string; runs: number; run_seconds: number }[];
  outputs?: Record<string, { produced: number; delivered: number; waiting: number; spooled: number; lag: number; lost: Record<string, number> }>;
}

interface Health {
  stream: { connected: boolean; gaps: number; why?: string };
  history: { readable: boolean };
  monitor: Monitor | null;
  why?: string;
}

export function HealthView(): JSX.Element {
  const asked = useAsked<Health>("/health", {}, 2000);
  return (
    <section>
      <h2>Health</h2>
      <Shown asked={asked} empty={() => false} none="">
        {(data) => (
          <>
            <Facts
              of={{
                "live stream": data.stream.connected ? "connected" : `not connected: ${data.stream.why ?? ""}`,
                "gaps in it": data.stream.gaps,
                history: data.history.readable ? "readable" : "not readable",
              }}
            />
            {!data.monitor && <p class="notice bad" role="alert">{safe(data.why)}</p>}
            {data.monitor && <MonitorHealth of={data.monitor} />}
          </>
        )}
      </Shown>
    </section>
  );
}

function MonitorHealth(props: { of: Monitor }): JSX.Element {
  const { kernel, programs, outputs = {}, lost } = props.of;
  return (
    <>
      <h3>Monitor</h3>
      <Facts
        of={{
          version: props.of.version,
          host: props.of.host,
          started: moment(props.of.started),
          "what is shown of content": props.of.content,
          identities: props.of.identities,
        }}
      />
      <Pairs title="Lost, by place" of={lost} none="Nothing was lost." />
      <h3>Outputs</h3>
      {Object.keys(outputs).length === 0 && <p class="notice">It has none but its socket.</p>}
      {Object.keys(outputs).length > 0 && <Table head={["Output", "#Produced", "#Delivered", "#Waiting", "#On disk", "#Lag", "#Lost"]} label="Outputs">
        {Object.entries(outputs).map(([name, one]) => (
          <tr key={name}>
            <td>{safe(name)}</td>
            <td class="number">{number(one.produced)}</td>
            <td class="number">{number(one.delivered)}</td>
            <td class="number">{number(one.waiting)}</td>
            <td class="number">{number(one.spooled)}</td>
            <td class="number">{one.lag.toFixed(1)} s</td>
            <td class="number">{number(Object.values(one.lost).reduce((all, count) => all + count, 0))}</td>
          </tr>
        ))}
      </Table>}
      <h3>Kernel</h3>
      <Facts of={{ release: kernel.release, probes: kernel.way, buffer: kernel.buffer, "buffer full": kernel.fill === null ? undefined : `${(kernel.fill * 100).toFixed(1)} %`, ...kernel.features }} />
      {programs.length > 0 && (
        <Table head={["Program", "#Runs", "#Time"]} label="eBPF programs">
          {programs.map((one) => (
            <tr key={one.name}><td>{safe(one.name)}</td><td class="number">{number(one.runs)}</td><td class="number">{one.run_seconds.toFixed(3)} s</td></tr>
          ))}
        </Table>
      )}
    </>
  );
}

