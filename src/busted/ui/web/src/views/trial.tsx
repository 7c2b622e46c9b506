// Trying a policy against the history: what it would have said of the newest events, and what of that
// is otherwise than it was.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { post } from "../api";
import { Table } from "../parts";
import { to } from "../place";
import { number, safe } from "../text";

interface Row {
  agent: string;
  action: string;
  decision: string;
  count: number;
  event: string;
  rule?: string;
  file?: string;
  reasons?: string[];
  before?: string;
}

interface Tried {
  problems: { file: string; line: number; column: number; severity: string; message: string }[];
  events: number;
  counts: Record<string, number>;
  rows: Row[];
  changes: Row[];
  failed: Record<string, number>;
  cut: string;
}

const EVENTS = 1000;
const EXAMPLE = `package busted

import rego.v1

default decision := "allow"

decision := "deny" if {
  input.action.type == "ToolCall"
  input.action.name == "shell"
}

reasons contains "no shells" if decision == "deny"
`;

export function Trial(): JSX.Element {
  const [policy, setPolicy] = useState(EXAMPLE);
  const [tried, setTried] = useState<Tried | undefined>();
  const [why, setWhy] = useState("");
  const [waits, setWaits] = useState(false);
  const ask = (event: Event): void => {
    event.preventDefault();
    setWaits(true);
    setWhy("");
    post<Tried>("/policy/try", { policy, events: EVENTS })
      .then(setTried)
      .catch((error: Error) => {
        setTried(undefined);
        setWhy(error.message);
      })
      .finally(() => setWaits(false));
  };
  return (
    <form class="trial" onSubmit={ask}>
      <h3>Try a policy</h3>
      <p class="notice">It is asked about the newest {number(EVENTS)} events of the history, as the history has them. Nothing is enforced.</p>
      <textarea aria-label="Policy in Rego" spellcheck={false} rows={14} value={policy} onInput={(event) => setPolicy(event.currentTarget.value)} />
      <p><button type="submit" disabled={waits}>{waits ? "Trying…" : "Try"}</button></p>
      <div aria-live="polite">
        {why && <p class="bad" role="alert">{safe(why)}</p>}
        {tried && (tried.problems.length > 0 ? <Problems of={tried} /> : <Result of={tried} />)}
      </div>
    </form>
  );
}

function Problems(props: { of: Tried }): JSX.Element {
  return (
    <ul class="problems">
      {props.of.problems.map((one, at) => (
        <li key={at} class="bad"><code>{safe(one.file)}{one.line > 0 && `:${one.line}:${one.column}`}</code> {safe(one.message)}</li>
      ))}
    </ul>
  );
}

function Result(props: { of: Tried }): JSX.Element {
  const { counts, rows, changes, failed, cut } = props.of;
  return (
    <>
      <p>{number(props.of.events)} events: {number(counts.deny)} denied, {number(counts.audit)} audited, {number(counts.allow)} allowed</p>
      {cut && <p class="bad">Not all were judged: {safe(cut)}.</p>}
      {Object.entries(failed).map(([kind, count]) => <p key={kind} class="bad">{number(count)} {safe(kind)}: counted as audited.</p>)}
      {changes.length > 0 && <Rows of={changes} title="Otherwise than it was decided" />}
      {rows.length > 0 && <Rows of={rows} title="What would be denied or audited" />}
    </>
  );
}

function Rows(props: { of: Row[]; title: string }): JSX.Element {
  return (
    <>
      <h4>{props.title}</h4>
      <Table head={["Decision", "#Times", "Agent", "Action", "Rule", "Why"]} label={props.title}>
        {props.of.map((row) => (
          <tr key={row.event + row.decision + (row.rule ?? "")}>
            <td>{row.before && <><span class={`tag ${row.before}`}>{row.before}</span> → </>}<span class={`tag ${row.decision}`}>{row.decision}</span></td>
            <td class="number">{number(row.count)}</td>
            <td><a href={to("live", "", { agent: row.agent })}>{safe(row.agent)}</a></td>
            <td>{safe(row.action)}</td>
            <td>{safe(row.rule)}</td>
            <td>{(row.reasons ?? []).map(safe).join("; ")}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}
