// An exchange or a session, to be read: who said what, with tool calls, findings and decisions.

import type { JSX } from "preact";
import { download, type Event } from "../api";
import { Decision, Shown, Table, useAsked } from "../parts";
import { to } from "../place";
import { agentOf, arrow, clock, moment, safe, seconds, summary, where } from "../text";
import { Findings, Texts } from "./detail";

interface Group {
  session: string;
  events: number;
  first_seen: string;
  last_seen: string;
  newest: Event;
}

const LIMIT = "1000";

export function ConversationView(props: { id: string }): JSX.Element {
  return props.id ? <Conversation id={props.id} /> : <Sessions />;
}

function Sessions(): JSX.Element {
  const asked = useAsked<{ sessions: Group[] }>("/sessions", { limit: "200" }, 5000);
  return (
    <section>
      <h2>Sessions</h2>
      <Shown asked={asked} empty={(data) => data.sessions.length === 0} none="No session is in the history.">
        {(data) => (
          <Table head={["Last seen", "Agent", "Process", "#Events", "Newest"]} label="Sessions">
            {data.sessions.map((one) => (
              <tr key={one.session}>
                <td><a href={to("conversation", `session/${one.session}`)}>{moment(one.last_seen)}</a></td>
                <td>{agentOf(one.newest)}</td>
                <td>{safe(one.newest.process.name)} {one.newest.process.pid}</td>
                <td class="number">{one.events}</td>
                <td class="cut">{summary(one.newest)}</td>
              </tr>
            ))}
          </Table>
        )}
      </Shown>
    </section>
  );
}

function Conversation(props: { id: string }): JSX.Element {
  const [kind = "", ...rest] = props.id.split("/");
  const id = rest.join("/");
  const path = `/${kind === "exchange" ? "exchanges" : "sessions"}/${encodeURIComponent(id)}`;
  const asked = useAsked<{ events: Event[] }>(path, kind === "exchange" ? {} : { limit: LIMIT }, 3000);
  const save = (format: string, name: string) => () => void download("/export", { format, [kind]: id }, name);
  return (
    <section class="conversation">
      <h2>{kind === "exchange" ? "Exchange" : "Session"} <small>{safe(id)}</small></h2>
      <div class="bar">
        <a class="button" href={to("conversation")}>All sessions</a>
        <button type="button" onClick={save("markdown", "conversation.md")}>Markdown</button>
        <button type="button" onClick={save("jsonl", "conversation.jsonl")}>JSON lines</button>
        <button type="button" onClick={save("har", "conversation.har")}>HAR</button>
      </div>
      <Shown asked={asked} empty={(data) => data.events.length === 0} none="Nothing of it is in the history.">
        {(data) => <ol class="turns">{data.events.map((event) => <Turn key={event.id} event={event} />)}</ol>}
      </Shown>
    </section>
  );
}

function told(event: Event): string {
  const { finish_reason: ended, latency, usage } = event.action as { finish_reason?: string; latency?: number; usage?: { input?: number; output?: number } };
  const tokens = usage && `${usage.input ?? 0} tokens in, ${usage.output ?? 0} out`;
  return [ended && `ended with ${safe(ended)}`, tokens, seconds(latency)].filter(Boolean).join(" · ");
}

function Turn(props: { event: Event }): JSX.Element {
  const { event } = props;
  const type = event.action.type;
  const said = ["Prompt", "Response", "ToolCall", "ToolResult", "McpRequest", "McpResponse"].includes(type);
  return (
    <li class={`turn ${type}`}>
      <header>
        <span class={`arrow ${type}`} title={type}>{arrow(type)}</span>
        <strong>{type}</strong> <span>{safe(event.action.name ?? event.action.method ?? "")}</span> <span class="where">{where(event)}</span>
        <Decision event={event} />
        <time dateTime={event.time}>{clock(event.time)}</time>
      </header>
      {said ? <Texts event={event} /> : <p>{summary(event)}</p>}
      {type === "Response" && <p class="dim">{told(event)}</p>}
      <Findings event={event} />
      {event.policy?.decision === "deny" && <p class="bad">{(event.policy.reasons ?? []).map(safe).join("; ")}</p>}
      <details>
        <summary>JSON</summary>
        <pre>{safe(JSON.stringify(event, null, 2))}</pre>
      </details>
    </li>
  );
}
