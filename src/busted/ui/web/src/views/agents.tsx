// Who speaks: the identities, and one with its findings, timeline and graph.

import type { JSX } from "preact";
import { Facts, Shown, Table, useAsked } from "../parts";
import { to } from "../place";
import { moment, safe } from "../text";

interface Call {
  tool: string;
  effects?: { kind: string; what: string; confidence: number }[];
}

interface Identity {
  id: string;
  name: string;
  first_seen: string;
  last_seen: string;
  narrative: string;
  agent?: string;
  program?: string;
  principals?: string[];
  models?: string[];
  destinations?: string[];
  sdks?: string[];
  tools?: string[];
  events?: number;
  instances?: number;
  findings?: { kind: string; detail: string }[];
  timeline?: { time: string; kind: string; what: string; instance: string; exchange?: string }[];
  links?: { kind: string; source: string; target: string; count: number; confidence: number }[];
  calls?: Call[];
  unseen?: Call[];
  undeclared?: { kind: string; what: string; time: string }[];
}

export function AgentsView(props: { id: string }): JSX.Element {
  return props.id ? <One id={props.id} /> : <All />;
}

function All(): JSX.Element {
  const asked = useAsked<{ agents: Identity[] }>("/agents", { limit: "500" }, 5000);
  return (
    <section>
      <h2>Agents</h2>
      <Shown asked={asked} empty={(data) => data.agents.length === 0} none="No agent has been seen yet.">
        {(data) => (
          <Table head={["Name", "Last seen", "Run by", "Models", "#Tools", "#Runs", "#Events", "Does not fit"]} label="Agents">
            {data.agents.map((one) => (
              <tr key={one.id}>
                <td><a href={to("agents", one.id)}>{safe(one.name)}</a></td>
                <td>{moment(one.last_seen)}</td>
                <td>{(one.principals ?? []).map(safe).join(", ")}</td>
                <td class="cut">{(one.models ?? []).map(safe).join(", ")}</td>
                <td class="number">{(one.tools ?? []).length}</td>
                <td class="number">{one.instances ?? 0}</td>
                <td class="number">{one.events ?? 0}</td>
                <td>{(one.findings ?? []).map((found) => <span key={found.kind} class="tag deny" title={safe(found.detail)}>{safe(found.kind)}</span>)}</td>
              </tr>
            ))}
          </Table>
        )}
      </Shown>
    </section>
  );
}

function One(props: { id: string }): JSX.Element {
  const asked = useAsked<Identity>(`/agents/${encodeURIComponent(props.id)}`, {}, 5000);
  return (
    <section>
      <div class="bar"><a class="button" href={to("agents")}>All agents</a></div>
      <Shown asked={asked} empty={() => false} none="">
        {(one) => (
          <>
            <h2>{safe(one.name)}</h2>
            <p>{safe(one.narrative)}</p>
            <Facts
              of={{
                id: one.id,
                program: one.program,
                "run by": one.principals?.join(", "),
                models: one.models?.join(", "),
                destinations: one.destinations?.join(", "),
                SDKs: one.sdks?.join(", "),
                tools: one.tools?.join(", "),
                "first seen": moment(one.first_seen),
                "last seen": moment(one.last_seen),
              }}
            />
            {(one.findings ?? []).length > 0 && (
              <>
                <h3>What does not fit</h3>
                <ul>{one.findings!.map((found) => <li key={found.kind}><span class="tag deny">{safe(found.kind)}</span> {safe(found.detail)}</li>)}</ul>
              </>
            )}
            <Graph identity={one} />
            <h3>Timeline</h3>
            <Table head={["Time", "Kind", "What"]} label="Timeline">
              {[...(one.timeline ?? [])].reverse().map((entry, at) => (
                <tr key={at}>
                  <td>{moment(entry.time)}</td>
                  <td>{safe(entry.kind)}</td>
                  <td class="cut">{entry.exchange ? <a href={to("conversation", `exchange/${entry.exchange}`)}>{safe(entry.what)}</a> : safe(entry.what)}</td>
                </tr>
              ))}
            </Table>
          </>
        )}
      </Shown>
    </section>
  );
}

function Graph(props: { identity: Identity }): JSX.Element {
  const { links = [], calls = [], undeclared = [] } = props.identity;
  return (
    <>
      <h3>What it uses, and what came of it</h3>
      {links.length + calls.length + undeclared.length === 0 && <p class="notice">Nothing yet.</p>}
      <ul class="graph">
        {links.map((link) => (
          <li key={link.kind + link.source + link.target}>
            {link.source === props.identity.id ? safe(props.identity.name) : safe(link.source)} <span class="arrow">{safe(link.kind)} →</span> {safe(link.target)} <small>{link.count} times, {Math.round(link.confidence * 100)} % sure</small>
          </li>
        ))}
        {calls.map((call, at) => (
          <li key={at}>
            <span class="arrow ToolCall">{"<~>"}</span> {safe(call.tool)}
            <ul>
              {(call.effects ?? []).map((effect, place) => (
                <li key={place}><span class="arrow">→</span> {safe(effect.kind)} {safe(effect.what)} <small>{Math.round(effect.confidence * 100)} % sure</small></li>
              ))}
              {!(call.effects ?? []).length && <li class="dim">declared, and nothing was seen of it</li>}
            </ul>
          </li>
        ))}
        {undeclared.map((one, at) => (
          <li key={`u${at}`}><span class="tag audit">not declared</span> {safe(one.kind)} {safe(one.what)}</li>
        ))}
      </ul>
    </>
  );
}
