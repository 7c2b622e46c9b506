// The newest events of this tab. They come in faster than a screen shows them: they are taken in at
// once and shown at the next frame.

import { get, listen, type Event, type Query } from "./api";

const KEPT = 5000;
const FIRST = "200";
// Of the events a second, for the curve in the head.
const BUCKETS = 60;

export interface Row {
  key: string;
  event?: Event;
  gap?: string;
}

export class Live {
  rows: Row[] = [];
  waiting: Row[] = [];
  connected = false;
  why: Error | undefined;
  paused = false;
  rates: number[] = new Array(BUCKETS).fill(0);
  private second = 0;
  private frame = 0;
  private gaps = 0;
  private seen = new Set<string>();
  private stop: () => void;
  private abort = new AbortController();

  constructor(
    query: Query,
    private readonly changed: () => void,
  ) {
    this.stop = listen(query, {
      event: (event) => this.take(event),
      gap: (count, why) => this.gap(count, why),
      state: (connected, why) => {
        this.connected = connected;
        this.why = why;
        this.soon();
      },
    });
    // What was before; where there is no history, the stream alone is shown.
    get<{ events: Event[] }>("/events", { ...query, limit: FIRST }, this.abort.signal)
      .then((page) => {
        const older = page.events.filter((event) => !this.seen.has(event.id));
        for (const event of older) this.seen.add(event.id);
        this.rows = [...this.rows, ...older.map((event) => ({ key: event.id, event }))];
        this.soon();
      })
      .catch(() => undefined);
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.soon();
  }

  clear(): void {
    this.rows = [];
    this.waiting = [];
    this.changed();
  }

  close(): void {
    this.stop();
    this.abort.abort();
    cancelAnimationFrame(this.frame);
  }

  private take(event: Event): void {
    if (this.seen.has(event.id)) return;
    this.seen.add(event.id);
    if (this.seen.size > 4 * KEPT) this.seen = new Set([...this.seen].slice(-2 * KEPT));
    this.count();
    this.push({ key: event.id, event });
  }

  private gap(count: number | null, why: string): void {
    this.gaps += 1;
    this.push({ key: `gap-${this.gaps}`, gap: `${count ?? "Some"} events are missing: ${why}` });
  }

  private push(row: Row): void {
    this.waiting.push(row);
    if (this.waiting.length > KEPT) this.waiting.shift();
    this.soon();
  }

  private count(): void {
    const now = Math.floor(Date.now() / 1000);
    const passed = Math.min(now - this.second, BUCKETS);
    if (passed > 0) {
      this.rates = [...this.rates.slice(passed), ...new Array<number>(passed).fill(0)];
      this.second = now;
    }
    this.rates[BUCKETS - 1] = (this.rates[BUCKETS - 1] ?? 0) + 1;
  }

  private soon(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.paused && this.waiting.length) {
        this.rows = [...this.waiting.reverse(), ...this.rows].slice(0, KEPT);
        this.waiting = [];
      }
      this.changed();
    });
  }
}
