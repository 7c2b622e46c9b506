// Events as they happen, newest first. Only the rows that are seen exist; the list stands still while
// the pointer is on it or it is paused, and says how many wait.

import type { JSX } from "preact";
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { Live, type Row } from "../live";
import { Curve, Decision } from "../parts";
import { FILTERS, go, to, type Place } from "../place";
import { agentOf, arrow, clock, findings, safe, summary, where } from "../text";
import { Detail } from "./detail";

const ROW = 30;
const AROUND = 10;

export function LiveView(props: { place: Place; onState: (live: Live) => void }): JSX.Element {
  const { query } = props.place;
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query[name] ?? ""]));
  const key = JSON.stringify(asked);
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const live = useMemo(() => new Live(asked, () => changed(0)), [key]);
  const [chosen, setChosen] = useState<string | null>(null);
  const [held, setHeld] = useState(false);
  const [paused, setPaused] = useState(false);
  const list = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });

  useEffect(() => () => live.close(), [live]);
  useEffect(() => live.pause(paused || held || chosen !== null), [live, paused, held, chosen]);
  useEffect(() => props.onState(live));
  useEffect(() => {
    const box = list.current;
    if (!box) return undefined;
    const seen = new ResizeObserver(() => setView({ top: box.scrollTop, height: box.clientHeight }));
    seen.observe(box);
    return () => seen.disconnect();
  }, []);

  const rows = live.rows;
  const at = rows.findIndex((row) => row.key === chosen);
  const open = rows[at]?.event;
  const show = (row: Row | undefined): void => {
    if (!row) return;
    setChosen(row.key);
    const box = list.current;
    const top = rows.indexOf(row) * ROW;
    if (box && (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight)) {
      box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    }
  };
  const cycle = (name: "provider" | "type"): void => {
    const there = [...new Set(rows.map((row) => (name === "type" ? row.event?.action.type : (row.event?.action.provider as string | undefined))))]
      .filter((value): value is string => Boolean(value))
      .sort();
    const next = there[there.indexOf(query[name] ?? "") + 1] ?? "";
    go("live", "", { ...query, [name]: next });
  };
  const page = Math.max(1, Math.floor(view.height / ROW));
  const move = (by: number): void => show(rows[Math.min(rows.length - 1, Math.max(0, (at < 0 ? 0 : at) + (at < 0 ? 0 : by)))]);
  const keys: Record<string, () => void> = {
    j: () => move(1),
    ArrowDown: () => move(1),
    k: () => move(-1),
    ArrowUp: () => move(-1),
    n: () => move(1),
    N: () => move(-1),
    g: () => show(rows[0]),
    Home: () => show(rows[0]),
    G: () => show(rows[rows.length - 1]),
    End: () => show(rows[rows.length - 1]),
    PageDown: () => move(page),
    PageUp: () => move(-page),
    " ": () => setPaused((is) => !is),
    "/": () => search.current?.focus(),
    c: () => live.clear(),
    C: () => go("live"),
    p: () => cycle("provider"),
    t: () => cycle("type"),
    Escape: () => setChosen(null),
  };
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const on = event.target as HTMLElement;
      if (event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(on.tagName)) {
        if (event.key === "Escape") on.blur();
        return;
      }
      const half: Record<string, number> = { d: page / 2, u: -page / 2, f: page, b: -page };
      const act = event.ctrlKey ? (half[event.key] ? () => move(Math.trunc(half[event.key]!)) : undefined) : keys[event.key];
      if (!act || (event.key === " " && on.tagName === "BUTTON")) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });

  const from = Math.max(0, Math.floor(view.top / ROW) - AROUND);
  const until = Math.min(rows.length, from + page + 2 * AROUND);
  const rate = live.rates.slice(-6, -1).reduce((all, count) => all + count, 0) / 5;
  return (
    <section class="live" aria-label="Live events">
      <Filters place={props.place} search={search} />
      <div class="bar">
        <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? "Go on" : "Pause"}</button>
        <button type="button" onClick={() => live.clear()}>Clear</button>
        <span role="status" class="grow">
          {live.waiting.length > 0 && `${live.waiting.length.toLocaleString("en")} wait`}
        </span>
        <span>{rate.toFixed(1)} / s</span>
        <Curve values={live.rates} label="Events a second, of the last minute" />
      </div>
      <div class={open ? "split" : ""}>
        <div
          class="rows"
          ref={list}
          tabIndex={0}
          role="grid"
          aria-label="Events"
          aria-rowcount={rows.length}
          onScroll={(event) => setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}
          onMouseEnter={() => setHeld(true)}
          onMouseLeave={() => setHeld(false)}
        >
          {rows.length === 0 && (
            <p class="notice">{live.connected ? "Nothing was said yet that these filters let through." : "Not connected."}</p>
          )}
          <div style={{ height: `${rows.length * ROW}px` }} class="sheet" role="rowgroup">
            {rows.slice(from, until).map((row, place) => (
              <Line key={row.key} row={row} top={(from + place) * ROW} index={from + place} chosen={row.key === chosen} onOpen={() => setChosen(row.key)} />
            ))}
          </div>
        </div>
        {open && <Detail event={open} onClose={() => setChosen(null)} />}
      </div>
    </section>
  );
}

function Line(props: { row: Row; top: number; index: number; chosen: boolean; onOpen: () => void }): JSX.Element {
  const { event, gap } = props.row;
  const style = { transform: `translateY(${props.top}px)` };
  if (!event) {
    return <div class="row gap" role="row" style={style}><span role="gridcell">{safe(gap)}</span></div>;
  }
  const type = event.action.type;
  const found = findings(event);
  return (
    <div
      class={`row ${type} ${event.policy?.decision ?? ""} ${found ? "found" : ""}`}
      role="row"
      aria-rowindex={props.index + 1}
      aria-selected={props.chosen}
      style={style}
      data-id={event.id}
      onClick={props.onOpen}
    >
      <span class="time" role="gridcell">{clock(event.time)}</span>
      <span class="arrow" role="gridcell" title={type}>{arrow(type)}</span>
      <span class="who" role="gridcell" title={`${safe(event.process.name)} ${event.process.pid}`}>{agentOf(event)}</span>
      <span class="where" role="gridcell">{where(event)}</span>
      <span class="what" role="gridcell">{summary(event)}</span>
      <span class="tags" role="gridcell">
        {found > 0 && <span class="tag found">{found} found</span>}
        <Decision event={event} />
      </span>
    </div>
  );
}

const TYPES = [
  ...["Prompt", "Response", "ToolCall", "ToolResult", "McpRequest", "McpResponse", "PiiDetected"],
  ...["CanaryDetected", "Network", "ProcessExec", "FileAccess", "FileData", "Coverage"],
];

function Filters(props: { place: Place; search: { current: HTMLInputElement | null } }): JSX.Element {
  const { query } = props.place;
  const set = (name: string) => (event: JSX.TargetedEvent<HTMLInputElement | HTMLSelectElement>) =>
    go("live", "", { ...query, [name]: event.currentTarget.value }, true);
  const text = (name: string, label: string): JSX.Element => (
    <input key={name} aria-label={label} placeholder={label} value={query[name] ?? ""} onChange={set(name)} size={12} />
  );
  const select = (name: string, label: string, values: string[]): JSX.Element => (
    <select aria-label={label} value={query[name] ?? ""} onChange={set(name)}>
      <option value="">{label}: all</option>
      {values.map((value) => <option key={value} value={value}>{value}</option>)}
    </select>
  );
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => event.preventDefault()}
      onKeyDown={(event) => event.key === "Enter" && (event.target as HTMLElement).blur()}
    >
      <input ref={props.search} type="search" aria-label="Words" placeholder="Words ( / )" value={query.text ?? ""} onChange={set("text")} />
      {select("type", "Type", TYPES)}
      {select("decision", "Decision", ["allow", "audit", "deny"])}
      {text("provider", "Provider")}
      {text("model", "Model")}
      {text("agent", "Agent")}
      {text("pid", "Process id")}
      {text("finding", "Finding")}
      <a class="button" href={to("live")}>No filters</a>
    </form>
  );
}

