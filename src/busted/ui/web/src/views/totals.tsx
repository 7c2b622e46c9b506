// Sums over time, from the roll-ups of the history: for providers and models, and for policy.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Query } from "../api";
import { Bars, Shown, Table, useAsked, type Bar } from "../parts";
import { to } from "../place";
import { dollars, moment, number, safe, seconds } from "../text";

export interface Total {
  since: string;
  events: number;
  input: number;
  output: number;
  cost: number;
  errors: number;
  latency: number | null;
  [group: string]: string | number | null;
}

const RANGES: [string, number, number][] = [
  ["15 minutes", 15, 1],
  ["1 hour", 60, 1],
  ["6 hours", 360, 6],
  ["1 day", 1440, 30],
  ["1 week", 10080, 180],
  ["all", 0, 1440],
];

export function useRange(): { query: Query; minutes: string; picker: JSX.Element } {
  const [range, setRange] = useState(1);
  const [now] = useState(Date.now());
  const [, span, step] = RANGES[range] ?? RANGES[1]!;
  const query: Query = span ? { since: new Date(now - span * 60_000).toISOString() } : {};
  const picker = (
    <select aria-label="Time" value={range} onChange={(event) => setRange(Number(event.currentTarget.value))}>
      {RANGES.map(([label], at) => <option key={label} value={at}>last {label}</option>)}
    </select>
  );
  return { query, minutes: String(step), picker };
}

// More bars than these are narrower than a pixel.
const MOST_BARS = 400;

/** One bar for every `minutes` from the first to the last, so that time is as long as it was. */
export function over(totals: Total[], minutes: string, group: string, value: (total: Total) => number): Bar[] {
  const step = Number(minutes) * 60_000;
  const bars = new Map<number, Bar>();
  const times = totals.map((total) => Date.parse(total.since));
  const first = Math.min(...times);
  const count = totals.length ? (Math.max(...times) - first) / step + 1 : 0;
  for (let at = 0; at < Math.min(count, MOST_BARS); at += 1) {
    const time = first + at * step;
    bars.set(time, { label: moment(new Date(time).toISOString()), parts: [] });
  }
  for (const total of totals) {
    bars.get(Date.parse(total.since))?.parts.push({ name: String(total[group] ?? ""), value: value(total) });
  }
  return [...bars.values()];
}

export function ProvidersView(): JSX.Element {
  const { query, minutes, picker } = useRange();
  const sums = useAsked<{ providers: Total[]; models: Total[] }>("/providers", query, 5000);
  const time = useAsked<{ totals: Total[] }>("/totals", { ...query, group: "provider", minutes }, 5000);
  return (
    <section>
      <h2>Providers and models {picker}</h2>
      <Shown asked={time} empty={(data) => data.totals.length === 0} none="Nothing was asked in this time.">
        {(data) => (
          <div class="charts">
            <Bars bars={over(data.totals, minutes, "provider", (total) => total.events)} label="Events" />
            <Bars bars={over(data.totals, minutes, "provider", (total) => total.input + total.output)} label="Tokens" />
            <Bars bars={over(data.totals, minutes, "provider", (total) => total.cost)} label="Cost" unit={(value) => dollars(value) || "$0"} />
            <Bars bars={over(data.totals, minutes, "provider", (total) => total.latency ?? 0)} label="Latency, mean" beside unit={(value) => seconds(value)} />
          </div>
        )}
      </Shown>
      <Shown asked={sums} empty={() => false} none="">
        {(data) => (
          <>
            <Sums name="provider" rows={data.providers} />
            <Sums name="model" rows={data.models} />
          </>
        )}
      </Shown>
    </section>
  );
}

function Sums(props: { name: string; rows: Total[] }): JSX.Element {
  const label = props.name === "model" ? "Models" : "Providers";
  return (
    <>
      <h3>{label}</h3>
      <Table head={[label.slice(0, -1), "#Events", "#Tokens in", "#Tokens out", "#Cost", "#Errors", "#Latency"]} label={label}>
        {props.rows.map((row) => {
          const value = String(row[props.name] ?? "");
          return (
            <tr key={value}>
              <td>{value ? <a href={to("live", "", { [props.name]: value })}>{safe(value)}</a> : <span class="dim">none</span>}</td>
              <td class="number">{number(row.events)}</td>
              <td class="number">{number(row.input)}</td>
              <td class="number">{number(row.output)}</td>
              <td class="number">{dollars(row.cost)}</td>
              <td class="number">{number(row.errors)}</td>
              <td class="number">{seconds(row.latency)}</td>
            </tr>
          );
        })}
      </Table>
    </>
  );
}
