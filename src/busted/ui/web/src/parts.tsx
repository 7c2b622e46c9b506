// Small parts that views share: asking, tables, curves, tags, text with what was found in it.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, type Event, type Query } from "./api";
import { safe } from "./text";

export interface Asked<T> {
  data: T | undefined;
  error: Error | undefined;
}

/** Asks now, again when what is asked changes, and every `every` milliseconds while the tab is seen. */
export function useAsked<T>(path: string | null, query: Query = {}, every = 0): Asked<T> {
  const [asked, setAsked] = useState<Asked<T>>({ data: undefined, error: undefined });
  const key = path === null ? "" : path + JSON.stringify(query);
  useEffect(() => {
    if (path === null) return undefined;
    const abort = new AbortController();
    const ask = (): void => {
      get<T>(path, query, abort.signal)
        .then((data) => setAsked({ data, error: undefined }))
        .catch((error: Error) => {
          if (!abort.signal.aborted) setAsked((before) => ({ data: before.data, error }));
        });
    };
    setAsked({ data: undefined, error: undefined });
    ask();
    const timer = every ? setInterval(() => document.hidden || ask(), every) : undefined;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [key, every]);
  return asked;
}

export function Shown<T>(props: {
  asked: Asked<T>;
  empty: (data: T) => boolean;
  none: string;
  children: (data: T) => ComponentChildren;
}): JSX.Element {
  const { data, error } = props.asked;
  return (
    <>
      {error && <p class="notice bad" role="alert">{safe(error.message)}</p>}
      {data === undefined && !error && <p class="notice" role="status">Asking…</p>}
      {data !== undefined && (props.empty(data) ? <p class="notice">{props.none}</p> : props.children(data))}
    </>
  );
}

/** `head` names the columns; those of numbers begin with #. */
export function Table(props: { head: string[]; children: ComponentChildren; label: string }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead>
          <tr>{props.head.map((name) => <th scope="col" key={name} class={name[0] === "#" ? "number" : ""}>{name.replace("#", "")}</th>)}</tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </div>
  );
}

export function Curve(props: { values: number[]; label: string; width?: number; height?: number }): JSX.Element {
  const { values, width = 120, height = 24 } = props;
  const most = Math.max(1, ...values);
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`);
  return (
    <svg class="curve" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={props.label}>
      <polyline points={points.join(" ")} />
    </svg>
  );
}

export interface Bar {
  label: string;
  parts: { name: string; value: number }[];
}

const COLOURS = 6;

/** The parts of a bar stand on one another, or `beside` each other where their sum means nothing. */
export function Bars(props: { bars: Bar[]; label: string; beside?: boolean; unit?: (value: number) => string }): JSX.Element {
  const { beside = false } = props;
  const names = [...new Set(props.bars.flatMap((bar) => bar.parts.map((part) => part.name)))];
  const sum = (bar: Bar): number => bar.parts.reduce((all, part) => (beside ? Math.max(all, part.value) : all + part.value), 0);
  const most = Math.max(1e-9, ...props.bars.map(sum));
  const unit = props.unit ?? ((value: number) => value.toLocaleString("en"));
  return (
    <figure class="bars">
      <figcaption>{props.label} <small>most {unit(most)}</small></figcaption>
      <svg viewBox={`0 0 ${Math.max(1, props.bars.length) * 10} 100`} preserveAspectRatio="none" role="img" aria-label={props.label}>
        {props.bars.map((bar, at) => {
          let top = 100;
          const width = beside ? 8 / bar.parts.length : 8;
          return bar.parts.map((part, place) => {
            const size = (part.value / most) * 100;
            top = (beside ? 100 : top) - size;
            return (
              <rect key={bar.label + part.name} x={at * 10 + 1 + (beside ? place * width : 0)} y={top} width={width} height={size} class={`colour${names.indexOf(part.name) % COLOURS}`}>
                <title>{`${bar.label} ${safe(part.name)}: ${unit(part.value)}`}</title>
              </rect>
            );
          });
        })}
      </svg>
      {props.bars.length > 1 && <p class="axis"><span>{props.bars[0]!.label}</span><span>{props.bars[props.bars.length - 1]!.label}</span></p>}
      <ul class="legend">
        {names.map((name, at) => <li key={name}><i class={`colour${at % COLOURS}`} />{safe(name) || "none"}</li>)}
      </ul>
    </figure>
  );
}

export function Decision(props: { event: Event }): JSX.Element | null {
  const policy = props.event.policy;
  if (!policy) return null;
  return (
    <span class={`tag ${policy.decision}`} title={(policy.reasons ?? []).map(safe).join("; ")}>
      {policy.decision}
      {policy.enforced ? ` ${policy.enforced.replace(/_/g, " ")}` : ""}
    </span>
  );
}

// What stands where something personal or secret was: `<email:3f9a>`.
export const TOKEN = /(<[a-z][a-z0-9_]*:[0-9a-f]{4,16}>)/;

export function Said(props: { text: unknown; label?: string }): JSX.Element | null {
  const text = safe(props.text);
  if (!text) return null;
  return (
    <div class="said">
      {props.label && <h4>{props.label}</h4>}
      <pre>{text.split(TOKEN).map((part, at) => (at % 2 ? <mark key={at}>{part}</mark> : part))}</pre>
    </div>
  );
}

export function Facts(props: { of: Record<string, unknown> }): JSX.Element {
  const rows = Object.entries(props.of).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === "object" ? safe(JSON.stringify(value)) : safe(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
