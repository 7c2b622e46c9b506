// One event: what was said, who said it, what policy decided, and all of it as JSON.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { post, type Event, type Finding } from "../api";
import { Decision, Facts, Said, TOKEN, useAsked } from "../parts";
import { to } from "../place";
import { agentOf, arrow, moment, safe, seconds } from "../text";

const TEXTS: [string, string][] = [
  ["system_prompt", "System"],
  ["user_message", "User"],
  ["text", "Answer"],
  ["reasoning", "Reasoning"],
  ["arguments", "Arguments"],
  ["params", "Parameters"],
  ["result", "Result"],
  ["content", "Content"],
  ["error", "Error"],
];
const LONG = new Set([...TEXTS.map(([name]) => name), "type", "messages", "pii"]);

export function Texts(props: { event: Event }): JSX.Element {
  const action = props.event.action;
  return <>{TEXTS.map(([name, label]) => <Said key={name} text={action[name]} label={label} />)}</>;
}

export function Findings(props: { event: Event }): JSX.Element | null {
  const found = (props.event.action.pii as Finding[] | undefined) ?? [];
  if (!found.length) return null;
  return (
    <ul class="findings">
      {found.map((one, at) => (
        <li key={at}><span class="tag found">{safe(one.kind)}</span> {safe(one.sample)} <small>{safe(one.where)}</small></li>
      ))}
    </ul>
  );
}

export function Policy(props: { event: Event }): JSX.Element | null {
  const policy = props.event.policy;
  if (!policy) return null;
  return (
    <div>
      <h4>Policy <Decision event={props.event} /></h4>
      <ul>{(policy.reasons ?? []).map((reason) => <li key={reason}>{safe(reason)}</li>)}</ul>
      <Facts of={{ rule: policy.rule, file: policy.file, error: policy.error }} />
    </div>
  );
}

/** Shows the event as it was said, where the operator lets that be; the server audits each time. */
function Reveal(props: { event: Event; onShown: (event: Event) => void }): JSX.Element | null {
  const meta = useAsked<{ reveals: boolean }>("/meta");
  const [why, setWhy] = useState("");
  useEffect(() => setWhy(""), [props.event.id]);
  if (!meta.data?.reveals || !TOKEN.test(JSON.stringify(props.event.action))) return null;
  const show = (): void => {
    post<Event>(`/events/${encodeURIComponent(props.event.id)}/reveal`, {})
      .then(props.onShown)
      .catch((error: Error) => setWhy(error.message));
  };
  return (
    <p>
      <button type="button" onClick={show}>Reveal</button> <small>It is written down that you saw it.</small>
      {why && <span class="bad" role="alert"> {safe(why)}</span>}
    </p>
  );
}

export function Detail(props: { event: Event; onClose: () => void }): JSX.Element {
  const [shown, setShown] = useState<Event | undefined>();
  const event = shown?.id === props.event.id ? shown : props.event;
  const { action } = event;
  const rest = Object.fromEntries(Object.entries(action).filter(([name]) => !LONG.has(name)));
  return (
    <aside class="detail" aria-label="The chosen event" tabIndex={0}>
      <header>
        <h3><span class={`arrow ${action.type}`}>{arrow(action.type)}</span> {action.type}</h3>
        <button type="button" aria-label="Close" onClick={props.onClose}>×</button>
      </header>
      <p>{moment(event.time)} · {agentOf(event)}</p>
      <nav class="links">
        {event.exchange_id && <a href={to("conversation", `exchange/${event.exchange_id}`)}>Exchange</a>}
        {event.session_id && <a href={to("conversation", `session/${event.session_id}`)}>Session</a>}
        {event.identity && <a href={to("agents", event.identity.id)}>Agent</a>}
      </nav>
      <Reveal event={event} onShown={setShown} />
      <Policy event={event} />
      <Findings event={event} />
      <Texts event={event} />
      <h4>Facts</h4>
      <Facts of={{ ...rest, latency: seconds(action.latency) || undefined }} />
      <h4>Process</h4>
      <Facts of={{ ...event.process }} />
      {event.connection && (<><h4>Connection</h4><Facts of={{ ...event.connection }} /></>)}
      <details>
        <summary>JSON</summary>
        <pre>{safe(JSON.stringify(event, null, 2))}</pre>
      </details>
    </aside>
  );
}
