// Events as text. All of it is untrusted: Preact escapes what is HTML; here, what could change how
// other text is shown becomes visible signs.

import type { Action, Event } from "./api";

// Controls but tab and line feed, marks that turn the direction of writing (Unicode UAX #9), and
// what has no width.
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export function safe(value: unknown): string {
  const text = typeof value === "string" ? value : value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.replace(HIDDEN, (sign) => `⟨U+${sign.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}⟩`);
}

const ARROWS: Record<string, string> = {
  Prompt: ">>>",
  Response: "<<<",
  ToolCall: "<~>",
  ToolResult: "~>",
  McpRequest: "-->",
  McpResponse: "<--",
  A2aRequest: "-->",
  A2aResponse: "<--",
  PiiDetected: "!!!",
  CanaryDetected: "!!!",
  LoopDetected: "!!!",
  Network: "---",
  FileAccess: "[o]",
  FileData: "<-[",
  ProcessExec: "$",
  Coverage: "i",
};

export function arrow(type: string): string {
  return ARROWS[type] ?? "-";
}

function first(...values: unknown[]): string {
  return safe(values.find((value) => typeof value === "string" && value !== "") ?? "");
}

const line = (text: string): string => text.replace(/\s+/g, " ").slice(0, 400);

export function summary(event: Event): string {
  const action = event.action as Action & Record<string, never>;
  switch (action.type) {
    case "Prompt":
      return line(first(action.user_message, action.endpoint));
    case "Response":
      return line(first(action.error, action.text, action.finish_reason) || `status ${safe(action.status)}`);
    case "ToolCall":
      return line(`${safe(action.name)} ${safe(action.arguments)}`);
    case "ToolResult":
      return line(`${safe(action.name)} ${safe(action.content)}`);
    case "McpRequest":
    case "McpResponse":
      return line(`${safe(action.method)} ${safe(action.tool)} ${first(action.params, action.result, action.error)}`);
    case "PiiDetected":
      return `${safe(action.count)} found: ${Object.entries((action.counts as object) ?? {})
        .map(([kind, count]) => `${safe(kind)} ${count}`)
        .join(", ")}`;
    case "CanaryDetected":
      return `canary ${safe(action.name)} in ${safe(action.where)}`;
    case "Network":
      return line(
        `${safe(action.operation)} ${first(action.name, event.connection?.dst_ip)} ${bytes(action.bytes_sent)} out, ${bytes(action.bytes_received)} in${action.error ? `, ${safe(action.error)}` : ""}`,
      );
    case "FileAccess":
    case "FileData":
      return line(`${safe(action.operation ?? action.direction)} ${safe(action.path)}`);
    case "ProcessExec":
      return line([action.exe, ...((action.argv as string[] | undefined) ?? [])].map(safe).join(" "));
    default:
      return line(safe(JSON.stringify(action)));
  }
}

export function agentOf(event: Event): string {
  return safe(event.identity?.name ?? event.process.agent ?? event.process.name);
}

export function where(event: Event): string {
  const { provider, model } = event.action as Record<string, string | undefined>;
  return safe([provider, model].filter(Boolean).join(" ") || (event.connection?.sni ?? ""));
}

export function findings(event: Event): number {
  const pii = event.action.pii as unknown[] | undefined;
  return pii?.length ?? 0;
}

export function clock(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.valueOf())
    ? safe(time)
    : `${date.toLocaleTimeString([], { hour12: false })}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** The time of today, and the day before it on other days; days as ISO 8601 has them, since 11/12 is two days. */
export function moment(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.valueOf())) return safe(time);
  const hours = date.toLocaleTimeString([], { hour12: false });
  const day = date.toLocaleDateString("sv");
  return day === new Date().toLocaleDateString("sv") ? hours : `${day} ${hours}`;
}

export function bytes(count: unknown): string {
  let value = Number(count);
  if (!Number.isFinite(value)) return "";
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (value < 1000) return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

export function number(value: unknown): string {
  return Number(value ?? 0).toLocaleString("en", { maximumFractionDigits: 2 });
}

export function dollars(value: unknown): string {
  const cost = Number(value ?? 0);
  return cost === 0 ? "" : `$${cost < 0.01 ? cost.toFixed(5) : cost.toFixed(2)}`;
}

export function seconds(value: unknown): string {
  const time = Number(value);
  return value === null || value === undefined || !Number.isFinite(time) ? "" : `${time.toFixed(2)} s`;
}
